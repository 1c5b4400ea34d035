import { parseSync } from 'oxc-parser';

/** A node of the syntax tree, as far as it is looked at here. */
interface Node {
  type: string;
  start: number;
  [key: string]: unknown;
}

/** What a source starts. */
export interface Spawned {
  programs: Set<string>;
  /** Lines of calls whose program is not written in the file. */
  unknown: number[];
}

/** Functions that start a program, by the end of their module's path; the number is the place of the program. */
const spawners: Readonly<Record<string, Readonly<Record<string, number>>>> = {
  'node:child_process': { spawn: 0, spawnSync: 0, execFile: 0, execFileSync: 0 },
  'images/command.ts': { runCommand: 1 },
  'host/programs.ts': { outputOf: 0 },
  'network/run.ts': { run: 0, installed: 0 },
  'test-runners/process.ts': { run: 0, runCheck: 0 },
};

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const value of Object.values(node))
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* walk(child);
}

/** One file: which names start programs, and what its constants hold. */
class Source {
  readonly #file: string;
  readonly #text: string;
  readonly #spawners = new Map<string, number>();
  readonly #values = new Map<string, Node[]>();
  readonly #nodes: Node[];

  constructor(file: string, text: string) {
    this.#file = file;
    this.#text = text;
    this.#nodes = [...walk(parseSync(file, text).program as unknown as Node)];
    for (const node of this.#nodes) {
      if (node.type === 'ImportDeclaration') this.#noteImport(node);
      if (node.type === 'VariableDeclarator' && isNode(node['init'])) this.#noteValue(node, node['init']);
    }
  }

  #noteImport(node: Node): void {
    const from = String((node['source'] as Node)['value']);
    const path = from.startsWith('.') ? new URL(from, `file:///${this.#file}`).pathname : from;
    const known = Object.entries(spawners).find(([end]) => path === end || path.endsWith(`/${end}`));
    for (const specifier of node['specifiers'] as Node[]) {
      const place = known?.[1][nameOf(specifier['imported'])];
      if (place !== undefined) this.#spawners.set(nameOf(specifier['local']), place);
    }
  }

  #noteValue(node: Node, init: Node): void {
    const name = nameOf(node['id']);
    this.#values.set(name, [...(this.#values.get(name) ?? []), init]);
    const isPromisified = init.type === 'CallExpression' && nameOf(init['callee']) === 'promisify';
    if (isPromisified && this.#spawners.has(nameOf((init['arguments'] as Node[])[0])))
      this.#spawners.set(name, 0);
  }

  spawned(): Spawned {
    const programs = new Set<string>();
    const unknown: number[] = [];
    for (const node of this.#nodes) {
      if (node.type !== 'CallExpression') continue;
      const place = this.#placeOf(node);
      if (place === undefined) continue;
      const found = this.#resolve((node['arguments'] as Node[])[place], new Set());
      if (found === undefined) unknown.push(this.#text.slice(0, node.start).split('\n').length);
      else for (const program of found) programs.add(program);
    }
    return { programs, unknown };
  }

  #placeOf(call: Node): number | undefined {
    const callee = call['callee'] as Node;
    if (callee.type === 'Identifier') return this.#spawners.get(nameOf(callee));
    // Methods that start a command are given it as a list.
    const [first] = call['arguments'] as Node[];
    return nameOf(callee['property']) === 'spawn' && first?.type === 'ArrayExpression' ? 0 : undefined;
  }

  /** Programs that an expression may stand for; undefined where the file does not say. */
  #resolve(node: Node | undefined, seen: Set<Node>): string[] | undefined {
    if (node === undefined || seen.has(node)) return undefined;
    seen.add(node);
    const first = (...nodes: unknown[]): string[] | undefined => {
      const found = nodes.map((one) => this.#resolve(one as Node, seen));
      return found.every((one) => one !== undefined) ? found.flat() : undefined;
    };
    switch (node.type) {
      case 'Literal':
        return [String(node['value'])];
      case 'ArrayExpression':
        return this.#resolveList(node['elements'] as Node[], seen);
      case 'ConditionalExpression':
        return first(node['consequent'], node['alternate']);
      case 'TSAsExpression':
      case 'TSNonNullExpression':
        return first(node['expression']);
      case 'ArrowFunctionExpression':
        return first(node['body']);
      case 'MemberExpression':
        return nameOf(node['property']) === 'execPath' ? ['node'] : undefined;
      case 'CallExpression':
        // A path below the repository.
        if (nameOf(node['callee']) === 'join') return [];
        return first(node['callee']);
      case 'Identifier': {
        const values = this.#values.get(nameOf(node));
        return values === undefined ? undefined : first(...values);
      }
      default:
        return undefined;
    }
  }

  /** The first word of a command, and first words of the commands that may stand before it. */
  #resolveList(elements: readonly Node[], seen: Set<Node>): string[] | undefined {
    const found: string[] = [];
    for (const element of elements) {
      const isSpread = element.type === 'SpreadElement';
      const part = this.#resolve(isSpread ? (element['argument'] as Node) : element, seen);
      if (part === undefined) return undefined;
      found.push(...part);
      if (!isSpread) break;
    }
    return found;
  }
}

function nameOf(node: unknown): string {
  return isNode(node) && typeof node['name'] === 'string' ? node['name'] : '';
}

/** The programs that a TypeScript source starts. */
export function programsOfTypeScript(file: string, text: string): Spawned {
  return new Source(file, text).spawned();
}
