/** Flags that do not go together: wrong usage, as what the argument parser refuses. */
export class UsageError extends Error {}
