import { closestName } from './closest-name.ts';
import { invalidOption } from './invalid-option.ts';

/** The names of all options of a kind: the compiler refuses one that is missing, and one that is too many. */
type NamesOf<Options, Names> = Readonly<Record<keyof Options, true>> &
  Readonly<Record<Exclude<keyof Names, keyof Options>, never>>;

/**
 * Refuses options that a method does not have: otherwise a misspelt option would be ignored silently.
 *
 * @param method - its name, such as `exec.run`
 * @param names - those of its options
 * @returns the options
 * @throws InvalidRequestError that names the option, and the one that was probably meant
 */
export function checkOptions<Options extends object, Names extends Readonly<Record<string, true>>>(
  method: string,
  options: Options,
  names: Names & NamesOf<Options, Names>,
): Options {
  const given: unknown = options;
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw invalidOption(
      `${method}: options are not an object but ${given === null ? 'null' : Array.isArray(given) ? 'an array' : typeof given}`,
      `Give an object such as { ${Object.keys(names)[0] ?? ''}: ... }, or nothing.`,
    );
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || Object.hasOwn(names, name)) continue;
    const known = Object.keys(names);
    const closest = closestName(name, known);
    throw invalidOption(
      `${method}: unknown option ${JSON.stringify(name.slice(0, 64))}${closest === undefined ? '' : `; did you mean ${closest}?`}`,
      `Its options are ${known.join(', ')}.`,
    );
  }
  return options;
}
