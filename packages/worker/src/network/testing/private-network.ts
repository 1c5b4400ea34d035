/** Holds which network a test may change, as `/proc/self/ns/net` tells it; set by what runs tests in one of their own. */
export const privateNetworkVariable = 'OPENCOMPUTER_TEST_NETWORK';
