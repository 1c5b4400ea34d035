/** Checked by the compiler alone: names that are missing, or too many, are refused. */
import { checkOptions } from './check-options.ts';

interface Options {
  one?: string;
  two?: string;
}
declare const options: Options;

checkOptions('method', options, { one: true, two: true } as const);
// @ts-expect-error: a name is missing
checkOptions('method', options, { one: true } as const);
// @ts-expect-error: a name is none of the options
checkOptions('method', options, { one: true, two: true, three: true } as const);
