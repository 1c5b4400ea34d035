package transport

import (
	"path/filepath"
	"testing"
)

func TestListenSocket(t *testing.T) {
	for _, spec := range []string{"", "unix:", "tcp", "udp:127.0.0.1:0"} {
		if _, err := ListenSocket(spec); err == nil {
			t.Errorf("%q is let through", spec)
		}
	}
	// What is left of an agent that was killed does no harm.
	spec := "unix:" + filepath.Join(t.TempDir(), "s")
	for range 2 {
		listener, err := ListenSocket(spec)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
	}
}
