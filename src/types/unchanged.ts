/**
 * Value of a column whose out-of-line (TOAST) value the server did not send because the update left it as it was. It is
 * not null: the row holds a value, it is just not in the stream.
 *
 * @see https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
export const UNCHANGED: unique symbol = Symbol.for('pg-walstream.unchanged');
