/** What of a request may carry a credential. */
export interface Presenting {
  header(name: string): string | undefined;
  query(name: string): string | undefined;
}

/** The key or token that a request shows: X-API-Key, Bearer, `?api_key=` or `?token=`, in this order. */
export function presentedKey(request: Presenting): string | undefined {
  const header = request.header('x-api-key');
  if (header) return header.trim();
  const bearer = /^Bearer +(\S+)$/i.exec(request.header('authorization')?.trim() ?? '')?.[1];
  return bearer ?? (request.query('api_key') || request.query('token'));
}
