/**
 * The variable that names the network which tests may change, as `/proc/self/ns/net` shows it. It is set by the program
 * that runs tests in their own network.
 */
export const privateNetworkVariable = 'OPENCOMPUTER_TEST_NETWORK';
