import { globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Modules that a source imports by a relative path, be it for their types alone. */
const relative = /\b(?:from|import\()\s*'(\.[^']+)'/g;

/**
 * Test files of a folder from which a module can be reached by relative imports.
 * @param folder absolute path
 * @param module its path in the folder
 * @returns their absolute paths
 * @throws Error when there is none: the module has moved
 */
export function testsThatReach(folder: string, module: string): string[] {
  const importers = new Map<string, string[]>();
  for (const name of globSync('**/*.ts', { cwd: folder })) {
    const file = join(folder, name);
    for (const [, path = ''] of readFileSync(file, 'utf8').matchAll(relative)) {
      const imported = join(dirname(file), path);
      importers.set(imported, [...(importers.get(imported) ?? []), file]);
    }
  }
  // A set gives its later members as well, while it is gone through.
  const reaching = new Set([join(folder, module)]);
  for (const file of reaching) for (const importer of importers.get(file) ?? []) reaching.add(importer);
  const found = [...reaching].filter((file) => file.endsWith('.test.ts')).toSorted();
  if (found.length === 0) throw new Error(`no test of ${folder} imports ${module}`);
  return found;
}
