package transport

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// ListenSocket opens the socket named by a "unix:PATH" or "tcp:HOST:PORT" spec.
// A stale unix socket file is replaced.
func ListenSocket(spec string) (net.Listener, error) {
	network, address, found := strings.Cut(spec, ":")
	if !found || address == "" || (network != "unix" && network != "tcp") {
		return nil, fmt.Errorf("bad -listen %q: use unix:PATH or tcp:HOST:PORT", spec)
	}
	if network == "unix" {
		if err := os.Remove(address); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
	}
	return net.Listen(network, address)
}
