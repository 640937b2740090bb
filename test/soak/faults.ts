import { setTimeout as sleep } from 'node:timers/promises';
import type { EmbeddedServer } from '../../src/cli/embedded-server.js';
import { sql } from '../support/server.js';
import type { Random } from '../support/workload.js';
import type { Chronicle } from './chronicle.js';
import { LIVENESS_TIMEOUT_MS, type SoakConsumer } from './soak-consumer.js';

export interface FaultScene {
  readonly server: EmbeddedServer;
  readonly consumers: readonly SoakConsumer[];
  readonly random: Random;
}

/** What may happen to whom; over when it resolves. */
type Fault = (scene: FaultScene, consumer: SoakConsumer) => Promise<void>;

const FAULTS: Readonly<Record<string, { readonly weight: number; readonly run: Fault }>> = {
  'walsender terminated': {
    weight: 4,
    run: async ({ server }, { slot }) => {
      await sql(
        server,
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND active',
        [slot],
      );
    },
  },
  'connection cut': {
    weight: 6,
    run: async ({ random }, { proxy }) => {
      proxy.cutAfterBytes = proxy.bytesForwarded + random.integer(0, 200_000);
      await sleep(random.integer(50, 800));
      proxy.cut();
      await sleep(random.integer(0, 500));
      proxy.reopen();
    },
  },
  silence: {
    weight: 2,
    run: async ({ random }, { proxy }) => {
      proxy.silence();
      await sleep(random.integer(100, LIVENESS_TIMEOUT_MS * 2));
      proxy.reopen();
    },
  },
  'server restarted, fast': { weight: 1, run: ({ server }) => server.restart('fast') },
  'server restarted, immediate': { weight: 1, run: ({ server }) => server.restart('immediate') },
  'server killed': {
    weight: 1,
    run: async ({ server, random }) => {
      await server.kill();
      await sleep(random.integer(0, 1_000));
      await server.restart();
    },
  },
  'worker killed': {
    weight: 4,
    run: async ({ random, consumers }) => {
      const consumer = random.pick(consumers.filter(({ transforms }) => transforms));
      // Not again before the batch has come through: twice in the same one is the end.
      if (consumer !== undefined) Atomics.store(consumer.kills, 0, 1);
      await sleep(random.integer(500, 1_500));
    },
  },
  'slow consumer': {
    weight: 3,
    run: async ({ random }, consumer) => {
      consumer.slowMs = random.integer(5, 100);
      await sleep(random.integer(500, 3_000));
      consumer.slowMs = 0;
    },
  },
  'consumer stopped': {
    weight: 6,
    run: async ({ random }, consumer) => {
      await consumer.stop();
      await sleep(random.pick([0, 0, random.integer(0, 3_000)]));
      consumer.start();
    },
  },
};
const CHOICES = Object.entries(FAULTS).flatMap(([name, { weight }]) => Array<string>(weight).fill(name));

/** Has something happen to somebody; gives its name. */
export async function runFault(scene: FaultScene, chronicle: Chronicle): Promise<string> {
  const name = scene.random.pick(CHOICES);
  const consumer = scene.random.pick(scene.consumers);
  chronicle.add(`${name}: ${consumer.description}`);
  await FAULTS[name]?.run(scene, consumer);
  chronicle.add(`${name}: over`);
  return name;
}
