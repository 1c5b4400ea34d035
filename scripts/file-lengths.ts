/** Most lines of code in a file, as CONTRIBUTING says. Python's formatter gives each parameter a line of its own. */
export const linesMax = { go: 300, py: 400, tests: 600 } as const;

/** Lines of a Go source that are neither blank nor comments. */
export function goLines(text: string): number {
  let comment = false;
  return text.split('\n').filter((line) => {
    const trimmed = line.trim();
    if (!comment && trimmed.startsWith('/*')) comment = true;
    const counts = !comment && trimmed !== '' && !trimmed.startsWith('//');
    if (comment && trimmed.includes('*/')) comment = false;
    return counts;
  }).length;
}

/** Lines of a Python source that are neither blank nor comments nor descriptions. */
export function pythonLines(text: string): number {
  let inside: 'description' | 'text' | undefined;
  return text.split('\n').filter((line) => {
    const trimmed = line.trim();
    const before = inside;
    const begins = /^r?"""/.test(trimmed) ? 'description' : 'text';
    const quotes = trimmed.split('"""').length - 1;
    if (quotes % 2 === 1) inside = before === undefined ? begins : undefined;
    if (before !== undefined) return before === 'text';
    if (quotes > 0) return begins === 'text';
    return trimmed !== '' && !trimmed.startsWith('#');
  }).length;
}
