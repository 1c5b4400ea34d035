/** `modules.dep` of a kernel: the path of each module and the paths of those it needs. */
export type ModuleDependencies = ReadonlyMap<string, readonly string[]>;

/** Parses the text of `modules.dep`. @throws Error when a line is not `path: path path` */
export function parseModuleDependencies(text: string): ModuleDependencies {
  const dependencies = new Map<string, string[]>();
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const colon = line.indexOf(':');
    if (colon <= 0) throw new Error(`modules.dep: not a "module: needs" line: ${line.slice(0, 200)}`);
    const needs = line
      .slice(colon + 1)
      .split(' ')
      .filter((path) => path !== '');
    dependencies.set(line.slice(0, colon), needs);
  }
  return dependencies;
}

/** Parses `modules.builtin`: names of the modules that are part of the kernel itself. */
export function parseBuiltinModules(text: string): ReadonlySet<string> {
  return new Set(
    text
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map(moduleName),
  );
}

/** A module's name as the kernel spells it: `kernel/a/virtio-rng.ko.xz` is `virtio_rng`. */
export function moduleName(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  return file.replace(/\.ko(\.\w+)?$/, '').replaceAll('-', '_');
}

/**
 * Paths of the wanted modules and of everything that they need, each after what it needs. Those that are built into the
 * kernel are left out.
 * @throws Error when one exists in neither form
 */
export function loadOrder(
  wanted: readonly string[],
  dependencies: ModuleDependencies,
  builtin: ReadonlySet<string>,
): string[] {
  const paths = new Map([...dependencies.keys()].map((path) => [moduleName(path), path]));
  const order: string[] = [];
  const state = new Map<string, 'open' | 'done'>();

  const visit = (path: string): void => {
    if (state.get(path) === 'done') return;
    if (state.get(path) === 'open') throw new Error(`modules.dep: ${path} needs itself`);
    const needs = dependencies.get(path);
    if (needs === undefined) throw new Error(`modules.dep: ${path} is needed but not listed`);
    state.set(path, 'open');
    for (const need of needs) visit(need);
    state.set(path, 'done');
    order.push(path);
  };

  for (const name of wanted) {
    const path = paths.get(moduleName(name));
    if (path !== undefined) visit(path);
    else if (!builtin.has(moduleName(name))) {
      throw new Error(`the kernel has no module ${name}: correct the list in packages/images/boot.ts`);
    }
  }
  return order;
}
