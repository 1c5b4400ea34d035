/**
 * A Python program that tries lines and prints those that succeed, as JSON. If a line fails with an error that is not
 * expected, that is printed as well, and the output is not JSON.
 * @param refusals names of the errors by which a line may fail
 * @param prelude lines that run before those that are tried
 */
export function attemptsInPython(
  lines: readonly string[],
  refusals: readonly string[],
  prelude: readonly string[] = [],
): string {
  return `
import errno, json, os, socket
${prelude.join('\n')}
done = []
for line in json.loads(${JSON.stringify(JSON.stringify(lines))}):
    try:
        exec(line)
        done.append(line)
    except OSError as error:
        if error.errno not in (${refusals.map((name) => `errno.${name}`).join(', ')}): print(line, error)
print(json.dumps(done))`;
}
