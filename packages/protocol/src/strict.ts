import { z } from 'zod';
import { closestName } from './closest-name.ts';

/** How many unknown names are told, and how much of each. */
const namesTold = 3;
const lettersTold = 64;

/** Says which names are unknown, and what was probably meant, or what there is. */
export function describeUnknown(
  kind: 'field' | 'parameter',
  names: readonly string[],
  known: readonly string[],
): string {
  const told = names.slice(0, namesTold).map((name) => ({ name, closest: closestName(name, known) }));
  const text = told.map(({ name, closest }) => {
    const unknown = `unknown ${kind} ${JSON.stringify(name.slice(0, lettersTold))}`;
    return closest === undefined ? unknown : `${unknown}; did you mean ${closest}?`;
  });
  if (told.some(({ closest }) => closest === undefined))
    text.push(known.length === 0 ? 'none is known here' : `known: ${known.join(', ')}`);
  return text.join('; ').replaceAll('?;', '?');
}

/** A JSON object that holds nothing but these members: others are refused by name. */
export function strictObject<Shape extends z.core.$ZodLooseShape>(shape: Shape) {
  const known = Object.keys(shape);
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys' ? describeUnknown('field', issue.keys, known) : undefined,
  });
}

/** The body of an endpoint that takes none: nothing, or an object without members. */
export const noBodySchema = strictObject({});
