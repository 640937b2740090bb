import fc from 'fast-check';
import { SEED } from './seed.js';

/** fast-check, from this run's seed. */
fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: SEED });

export default fc;
