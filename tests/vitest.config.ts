import { basename } from 'node:path';
import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Test files that take longest, in their order. First of all one that measures by how much processes grow. */
const longest = [
  'files-large',
  ...['ours', 'ours-python', 'ours-python-sync', 'published', 'published-python'],
  ...['guest-certificates', 'cli-examples', 'docs-examples', 'served-clients', 'agent', 'lying-agent'],
  ...['worker-steps', 'machine-steps', 'full-disk-writes'],
].map((name) => `${name}.test.ts`);

/** Begins with what takes longest: a long file that begins last has the host to itself, which stands half idle then. */
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const index = longest.indexOf(basename(moduleId));
      return index < 0 ? longest.length : index;
    };
    // oxlint-disable-next-line unicorn/no-array-sort -- It is no array.
    const usual = await super.sort(files);
    return usual.toSorted((one, other) => rank(one) - rank(other));
  }
}

// Real machines on few cores: two files at a time, and limits that only what hangs reaches.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['tests/**/*.test.ts'],
    globalSetup: ['tests/support/shared-platform.ts'],
    maxWorkers: 2,
    testTimeout: 450_000,
    hookTimeout: 1_200_000,
    sequence: { sequencer: LongestFirst },
  },
});
