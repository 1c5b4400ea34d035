import { execFile } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const server = 'packages/server/src';

/** The rooms of the server from the bottom up. What is on one floor, or above, is not imported. */
const floors = [
  ['observe'],
  ['store', 'http', 'sockets', 'workers'],
  ['auth', 'operations'],
  ['sandboxes'],
  ['checkpoints'],
  ['sandboxes/changes', 'checkpoints/changes', 'reconcile', 'sessions', 'logs'],
  ['api'],
];
/** Arrows between rooms of one floor: changes of checkpoints are made of those of sandboxes. */
const besides = [['checkpoints/changes', 'sandboxes/changes']];

interface Wall {
  /** The file that imports. */
  readonly file: string;
  readonly line: string;
}

const up = (room: string): string => '../'.repeat(room.split('/').length);

const imports = floors.flatMap((floor, height) =>
  floor.flatMap((room) =>
    floors
      .slice(height)
      .flat()
      .filter((other) => other !== room && !besides.some(([from, to]) => from === room && to === other))
      .map((other): Wall => {
        const line = `export * from '${up(room)}${other}/thing.ts';`;
        return { file: `${server}/${room}/${other.replace('/', '-')}.ts`, line };
      }),
  ),
);

const everywhere = floors.flat().flatMap((room): Wall[] => {
  const wall = (name: string, line: string): Wall => ({ file: `${server}/${room}/${name}.ts`, line });
  return [
    wall('program', "export * from 'node:child_process';"),
    wall('worker', "export * from '@opencomputer/worker';"),
    ...(room === 'store'
      ? []
      : [
          wall('kysely', "export * from 'kysely';"),
          ...['selectFrom', 'insertInto', 'updateTable', 'deleteFrom', 'transaction'].map((method) =>
            wall(method, `export const row = (store: never) => (store as { ${method}: unknown }).${method};`),
          ),
        ]),
  ];
});

const walls = [...imports, ...everywhere];
let directory: string;
let refused: ReadonlySet<string>;

/** Files in which the lint finds what is restricted, in a tree of nothing but what should be refused. */
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'walls-'));
  copyFileSync(join(root, '.oxlintrc.json'), join(directory, '.oxlintrc.json'));
  for (const { file, line } of walls) {
    mkdirSync(dirname(join(directory, file)), { recursive: true });
    writeFileSync(join(directory, file), `${line}\n`);
  }
  const { promise, resolve } = Promise.withResolvers<string>();
  // It ends with 1 when it finds something.
  const options = { cwd: directory, maxBuffer: 64 * 1024 * 1024 };
  execFile(join(root, 'node_modules/.bin/oxlint'), ['-f', 'unix', '.'], options, (_error, stdout) =>
    resolve(stdout),
  );
  const found = (await promise).matchAll(/^(\S+?):\d+:\d+:.*no-restricted-(?:imports|properties)/gm);
  refused = new Set([...found].map(([, file = '']) => file.replace(/^\.\//, '')));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test.each(walls)('$file: $line', ({ file }) => {
  expect(refused).toContain(file);
});
