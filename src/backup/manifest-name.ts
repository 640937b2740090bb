export const MANIFEST_NAME = 'backup_manifest';
/** Name of the manifest until everything else is proved and on disk. */
export const UNPROVED_MANIFEST_NAME = `${MANIFEST_NAME}.tmp`;
