/**
 * MessagePack extension types of packed rows. msgpackr's registry of extensions is one per process, so these come from
 * the range that MessagePack reserves for itself (negative types): applications that use msgpackr cannot collide.
 */

/** An unchanged TOAST value: fixext 1, one filler byte. */
export const EXTENSION_UNCHANGED = 0xe1;
/** JSON text, parsed when the row is read: fixext 1, one filler byte, then a MessagePack string. */
export const EXTENSION_JSON = 0xe2;
/** An object: fixext 1, one filler byte, then an array of its keys and values in turn. Any key is a key. */
export const EXTENSION_OBJECT = 0xe4;
/** A range: fixext 1, one filler byte, then an array of flags, lower and upper bound. */
export const EXTENSION_RANGE = 0xe8;
/**
 * The server's text, for a function of the user's: fixext 1, one filler byte, then an array of the function's number and
 * the text. It is called when the row is read.
 */
export const EXTENSION_FUNCTION = 0xe5;
/** The same for node-postgres' parser of a type: its OID and the text. */
export const EXTENSION_PG = 0xe6;
/** A value that a user's module made in the worker, packed on its own: ext 8/16/32. */
export const EXTENSION_VALUE = 0xe7;
