/**
 * MessagePack extension types of packed rows. msgpackr's registry of extensions is one per process, so these come from
 * the range that MessagePack reserves for itself (negative types): applications that use msgpackr cannot collide.
 */

/** An unchanged TOAST value: fixext 1, one filler byte. */
export const EXTENSION_UNCHANGED = 0xe1;
/** JSON text, parsed when the row is read: fixext 1, one filler byte, then a MessagePack string. */
export const EXTENSION_JSON = 0xe2;
/** UTF-8 text that msgpackr's own string reader would change (it strips a leading byte order mark): ext 8/16/32. */
export const EXTENSION_TEXT = 0xe3;
