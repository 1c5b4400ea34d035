import { spawnSync } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { globSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { root } from '../test-runners/process.ts';

/** What may be imported by each package: "Imports go one way" of ARCHITECTURE.md. */
const packages: Readonly<Record<string, readonly string[]>> = {
  protocol: [],
  process: ['protocol'],
  // Tests of both wait for conditions with `testing`, and those of the worker build images.
  server: ['protocol', 'process', 'testing'],
  worker: ['protocol', 'process', 'testing', 'images'],
  sdk: [],
  cli: ['sdk'],
  images: ['process'],
  standalone: ['protocol', 'process', 'server', 'worker', 'images'],
  testing: [],
};

/** The rooms of the server from the bottom up. What is on one floor, or above, is not imported. */
const floors = [
  ['observe'],
  ['store', 'http', 'sockets'],
  ['workers'],
  ['auth', 'operations'],
  ['sandboxes'],
  ['checkpoints'],
  ['sandboxes/changes', 'checkpoints/changes', 'reconcile', 'sessions', 'logs'],
  ['api'],
];
/** Arrows between rooms of one floor: changes of checkpoints are made of those of sandboxes. */
const besides = [['checkpoints/changes', 'sandboxes/changes']];

/** What may be imported by each room of the worker, as by each package. */
const rooms: Readonly<Record<string, readonly string[]>> = {
  host: [],
  network: ['host'],
  disk: ['host'],
  guest: ['host'],
  doctor: ['host', 'network'],
  qemu: ['host', 'network', 'disk', 'guest'],
  snapshots: ['host', 'network', 'disk', 'guest', 'qemu'],
  templates: ['host', 'network', 'disk', 'guest', 'qemu', 'snapshots'],
  machine: ['host', 'network', 'disk', 'guest', 'qemu', 'snapshots', 'templates'],
  'machine/changes': ['host', 'network', 'disk', 'guest', 'qemu', 'snapshots', 'templates', 'machine'],
  api: [
    ...['host', 'network', 'disk', 'guest', 'qemu', 'snapshots', 'templates'],
    ...['machine', 'machine/changes'],
  ],
};

/** A file with one statement, and whether the lint must refuse it. */
interface Planted {
  file: string;
  statement: string;
  refused: boolean;
}

const planted: Planted[] = [];

function plant(folder: string, statement: string, refused: boolean): void {
  planted.push({ file: `packages/${folder}/planted-${planted.length}.ts`, statement, refused });
}

/** The ways to say what is wanted: each must be seen. */
function statements(specifier: string): string[] {
  return [
    `import { a } from '${specifier}';\nexport const b = a;`,
    `import type { A } from '${specifier}';\nexport type B = A;`,
    `export * from '${specifier}';`,
  ];
}

function path(from: string, to: string): string {
  const way = relative(`/${from}`, `/${to}`);
  return way.startsWith('.') ? way : `./${way}`;
}

for (const [from, allowed] of Object.entries(packages)) {
  for (const to of Object.keys(packages)) {
    if (to === from) continue;
    const refused = !allowed.includes(to);
    for (const folder of [`${from}/src`, `${from}/src/deep/er`]) {
      const byPath = path(`packages/${folder}`, `packages/${to}/src/index.ts`);
      for (const specifier of [`@opencomputer/${to}`, `@opencomputer/${to}/part`, byPath])
        for (const statement of statements(specifier)) {
          // The client takes types of the contract, which are gone when it runs.
          const type = statement.startsWith('import type') && from === 'sdk' && to === 'protocol';
          plant(folder, statement, refused && !type);
        }
    }
  }
}
for (const [from, allowed] of Object.entries(rooms)) {
  const places = [from, `${from}/deep`, `${from}/deep/er`, `${from}/testing`];
  for (const place of places.map((room) => `worker/src/${room}`)) {
    for (const to of Object.keys(rooms)) {
      if (to === from) continue;
      const target = path(place, `worker/src/${to}/part.ts`);
      for (const statement of statements(target)) plant(place, statement, !allowed.includes(to));
    }
    plant(place, `export * from '${path(place, 'worker/src/assembly.ts')}';`, true);
    plant(place, `export * from '${path(place, `worker/src/${from}/other.ts`)}';`, false);
    for (const module of ['node:sqlite', 'kysely', '@opencomputer/server', '@opencomputer/sdk/part'])
      plant(place, `export * from '${module}';`, true);
  }
}
for (const [height, floor] of floors.entries()) {
  for (const from of floor) {
    const higher = new Set(floors.slice(height).flat());
    for (const place of [from, `${from}/deep`].map((room) => `server/src/${room}`)) {
      for (const to of floors.flat()) {
        if (to === from) continue;
        const beside = besides.some(([below, above]) => below === from && above === to);
        const target = path(place, `server/src/${to}/part.ts`);
        for (const statement of statements(target)) plant(place, statement, higher.has(to) && !beside);
      }
      plant(place, `export * from '${path(place, 'server/src/assembly.ts')}';`, true);
      plant(place, `export * from '${path(place, `server/src/${from}/other.ts`)}';`, false);
      plant(place, "export * from 'node:child_process';", true);
      plant(place, "export * from 'kysely';", from !== 'store');
      for (const method of ['selectFrom', 'insertInto', 'updateTable', 'deleteFrom', 'transaction'])
        plant(
          place,
          `export const row = (store: never) => (store as { ${method}: unknown }).${method};`,
          from !== 'store',
        );
    }
  }
}
for (const module of ['node:child_process', 'child_process'])
  for (const folder of ['server/src', 'server/src/deep'])
    for (const statement of statements(module)) plant(folder, statement, true);
for (const room of ['qemu', 'snapshots', 'templates', 'machine', 'machine/changes']) {
  const place = `worker/src/${room}`;
  for (const statement of [
    "import { open } from 'node:fs/promises';\nexport const a = open;",
    "import { readFile as read } from 'node:fs/promises';\nexport const a = read;",
    "import { createReadStream } from 'node:fs';\nexport const a = createReadStream;",
    "import { writeFileSync } from 'fs';\nexport const a = writeFileSync;",
    "import * as files from 'node:fs/promises';\nexport const a = files;",
    "import files from 'node:fs';\nexport const a = files;",
  ])
    plant(place, statement, true);
  plant(place, "import { rename, rm } from 'node:fs/promises';\nexport const a = [rename, rm];", false);
}

/** Files of which the lint said that they import what they may not. */
const refused = new Set<string>();
let directory: string;

beforeAll(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), 'walls-')));
  await copyFile(join(root, '.oxlintrc.json'), join(directory, '.oxlintrc.json'));
  for (const folder of new Set(planted.map(({ file }) => dirname(file))))
    await mkdir(join(directory, folder), { recursive: true });
  await Promise.all(planted.map(({ file, statement }) => writeFile(join(directory, file), `${statement}\n`)));
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/oxlint/bin/oxlint'), '--format=json', 'packages'],
    { cwd: directory, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 },
  );
  expect(stderr).toBe('');
  const { diagnostics } = JSON.parse(stdout) as { diagnostics: { code: string; filename: string }[] };
  for (const { code, filename } of diagnostics)
    if (/^eslint\(no-restricted-(imports|properties)\)$/.test(code)) refused.add(filename);
});

afterAll(() => rm(directory, { recursive: true, force: true }));

describe('the lint', () => {
  test('refuses every import that goes against the direction', () => {
    const missed = planted.filter((one) => one.refused && !refused.has(one.file));
    expect(missed).toEqual([]);
  });

  test('refuses no other', () => {
    const wrongly = planted.filter((one) => !one.refused && refused.has(one.file));
    expect(wrongly).toEqual([]);
  });

  test('knows every package, and every room of worker and server', () => {
    const folders = (path: string): string[] =>
      readdirSync(join(root, path), { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() && entry.name !== 'testing' ? [entry.name] : [],
      );
    expect([...folders('packages'), 'testing'].toSorted()).toEqual(Object.keys(packages).toSorted());
    const below = Object.keys(rooms).filter((room) => !room.includes('/'));
    expect(folders('packages/worker/src').toSorted()).toEqual(below.toSorted());
    expect(folders('packages/worker/src/machine')).toEqual(['changes']);
    const server = floors.flat().filter((room) => !room.includes('/'));
    expect(folders('packages/server/src').toSorted()).toEqual([...server, 'commands'].toSorted());
  });
});

test('nobody goes around the walls while the program runs', async () => {
  const sources = globSync('packages/{protocol,server,worker}/src/**/*.ts', { cwd: root });
  const around: string[] = [];
  for (const file of sources.filter((name) => !name.endsWith('.test.ts')))
    if (/\bimport\(|createRequire/.test(await readFile(join(root, file), 'utf8'))) around.push(file);
  expect(around).toEqual([]);
});
