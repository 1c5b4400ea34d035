package server

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/egress"
	"opencomputer.dev/agent/internal/identity"
)

func TestSilentHostIsHungUpOn(t *testing.T) {
	listener, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	served := New(Config{Identity: identity.New(nil, ""), Egress: egress.New("")})
	go served.http.Serve(&connections{listener, 50 * time.Millisecond})
	t.Cleanup(func() { served.Close() })
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err == nil || os.IsTimeout(err) {
		t.Fatalf("read after the deadline: %v, want the end", err)
	}
}
