import { parse } from 'unbash';

/** A node of the syntax tree, as far as it is looked at here. */
interface Node {
  type: string;
  name?: Word;
  suffix?: readonly Word[];
}

interface Word {
  type: string;
  value: string;
}

/** A command of a shell script. */
export interface ShellCommand {
  name: string;
  /** Its words, without redirections. */
  words: readonly string[];
}

const isNode = (value: unknown): value is Node =>
  typeof value === 'object' && value !== null && typeof (value as { type?: unknown }).type === 'string';

function* walk(node: Node): Generator<Node> {
  yield node;
  for (const value of Object.values(node))
    for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) yield* walk(child);
}

/** @throws Error where it cannot be parsed */
function treeOf(text: string): Node {
  const script = parse(text);
  const [error] = script.errors ?? [];
  if (error !== undefined) throw new Error(`not a shell script: ${JSON.stringify(error)}`);
  // Parts of words are made when they are asked for, which a plain copy has done.
  return JSON.parse(JSON.stringify(script)) as Node;
}

/** What the shell does by itself, as far as our scripts use it. */
const builtins = new Set(
  '. [ : cd command echo eval exec exit export local printf pwd read return set shift source test trap type umask'.split(
    ' ',
  ),
);

/** The commands of a script, those in substitutions and functions too. @throws Error where it cannot be parsed */
export function shellCommands(text: string): ShellCommand[] {
  return [...walk(treeOf(text))].flatMap((node) => {
    if (node.type !== 'Command' || node.name === undefined) return [];
    const words = (node.suffix ?? []).flatMap(({ type, value }) => (type === 'Word' ? [value] : []));
    return [{ name: node.name.value, words }];
  });
}

/** The programs that a script runs: not what it defines itself, nor what a variable names. */
export function programsOfShell(
  text: string,
  functions: ReadonlySet<string> = functionsOf(text),
): Set<string> {
  const programs = new Set<string>();
  const note = (name: string | undefined): void => {
    if (name === undefined || functions.has(name) || builtins.has(name) || /[$/"]/.test(name)) return;
    programs.add(name);
  };
  for (const { name, words } of shellCommands(text)) {
    // What these run is a word of theirs.
    if (name === 'exec' || name === 'as_root') note(words[0]);
    else note(name);
  }
  return programs;
}

/** Names of the functions that a script defines. */
export function functionsOf(text: string): Set<string> {
  const names = new Set<string>();
  for (const node of walk(treeOf(text))) if (node.type === 'Function') names.add(node.name?.value ?? '');
  return names;
}

/** Program or file, and package, of each `need_packages` in a script. */
export function neededPackages(text: string): [program: string, packageName: string][] {
  return shellCommands(text).flatMap(({ name, words }) => {
    if (name !== 'need_packages') return [];
    if (words.length % 2 !== 0) throw new Error(`need_packages takes pairs: ${words.join(' ')}`);
    return Array.from({ length: words.length / 2 }, (_, n): [string, string] => [
      words[2 * n] ?? '',
      words[2 * n + 1] ?? '',
    ]);
  });
}
