#!/usr/bin/env node
import { run } from './program.js';

// That nobody reads what is said meanwhile is no reason to stop the work.
process.stderr.on('error', () => {});

process.exitCode = await run(process.argv.slice(2));
