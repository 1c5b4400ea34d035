import { z } from 'zod';
import { closestName } from './closest-name.ts';

/** How many unknown names an error mentions, and how much of each. */
const namesShown = 3;
const lettersShown = 64;

/** Says which names are unknown, and which were probably meant, or which exist. */
export function describeUnknown(
  kind: 'field' | 'parameter',
  names: readonly string[],
  known: readonly string[],
): string {
  const shown = names.slice(0, namesShown).map((name) => ({ name, closest: closestName(name, known) }));
  const text = shown.map(({ name, closest }) => {
    const unknown = `unknown ${kind} ${JSON.stringify(name.slice(0, lettersShown))}`;
    return closest === undefined ? unknown : `${unknown}; did you mean ${closest}?`;
  });
  if (shown.some(({ closest }) => closest === undefined))
    text.push(known.length === 0 ? 'none is known here' : `known: ${known.join(', ')}`);
  return text.join('; ').replaceAll('?;', '?');
}

/** A JSON object with these members only: the error for others names them. */
export function strictObject<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? describeUnknown('field', issue.keys, known) : undefined,
  });
}

/** The body of an endpoint without parameters: nothing, or an object without members. */
export const noBodySchema = strictObject({});
