export { proxyRoot } from '../../packages/worker/src/host/testing/certificates.ts';

/** The key of that root, with which a test signs; nobody trusts it but the guests of tests. */
export const proxyKey = `-----BEGIN EC PRIVATE KEY-----
MHcCAQEEIJ+xPPRwYE/Bob0sEi6wpkcQiBOsngGqqgOUwB/pcgzkoAoGCCqGSM49
AwEHoUQDQgAEjkFBrUPwChry7HPFuSzKQLgg1AAAhiZGvOviWs1sISn9lwZLzAMs
yObI9BkwaLs+X39pcLxoPgYLBn+ieSs6/g==
-----END EC PRIVATE KEY-----
`;
