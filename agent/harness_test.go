package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"opencomputer.dev/agent/internal/transport"
)

// host is the worker's side of a connection to an agent under test.
type host struct {
	t      testing.TB
	agent  *agent
	socket string
	client *http.Client
}

// newHost serves an agent on a socket and does not shake hands yet.
func newHost(t testing.TB) *host {
	t.Helper()
	return newHostWithin(t, handshakeDeadline)
}

func newHostWithin(t testing.TB, deadline time.Duration) *host {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := transport.ListenSocket("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	served := newAgent("systemd")
	server := served.httpServer()
	go server.Serve(&connections{listener, deadline})
	t.Cleanup(func() {
		server.Close()
		for _, s := range served.sessions.List() {
			_ = s.Signal(syscall.SIGKILL) // those that have ended refuse it
		}
	})
	h := &host{t: t, agent: served, socket: socket}
	h.reconnect()
	return h
}

// newReadyHost has shaken hands.
func newReadyHost(t testing.TB) *host {
	t.Helper()
	h := newHost(t)
	h.want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"first"}`)
	return h
}

func (h *host) reconnect() {
	if h.client != nil {
		h.client.CloseIdleConnections()
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h.client = &http.Client{Transport: &http.Transport{
		Protocols: protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", h.socket)
		},
	}}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (h *host) call(method, path string, body any) answer {
	h.t.Helper()
	var reader io.Reader
	switch body := body.(type) {
	case nil:
	case string:
		reader = strings.NewReader(body)
	case io.Reader:
		reader = body
	default:
		text, err := json.Marshal(body)
		if err != nil {
			h.t.Fatal(err)
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequest(method, "http://agent"+path, reader)
	if err != nil {
		h.t.Fatal(err)
	}
	response, err := h.client.Do(request)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{response.StatusCode, response.Header, content}
}

func (h *host) want(status int, method, path string, body any) answer {
	h.t.Helper()
	got := h.call(method, path, body)
	if got.status != status {
		h.t.Fatalf("%s %s: status %d, want %d: %.500s", method, path, got.status, status, got.body)
	}
	return got
}

// refused expects an error and returns its message.
func (h *host) refused(status int, code, method, path string, body any) string {
	h.t.Helper()
	var failure struct {
		Error struct{ Code, Message string }
	}
	got := h.want(status, method, path, body)
	if err := json.Unmarshal(got.body, &failure); err != nil {
		h.t.Fatalf("%s %s: bad error body %q: %v", method, path, got.body, err)
	}
	if failure.Error.Code != code {
		h.t.Fatalf("%s %s: code %q, want %q", method, path, failure.Error.Code, code)
	}
	return failure.Error.Message
}

type result struct {
	ID         string
	Running    bool
	ExitCode   *int
	Signal     int
	TimedOut   bool
	Truncated  bool
	Stdout     []byte
	Stderr     []byte
	StartedAt  string
	DurationMs int64
}

func (h *host) exec(request map[string]any) result {
	h.t.Helper()
	return decode[result](h.t, h.want(200, "POST", "/v1/exec", request).body)
}

func (h *host) shell(script string) result {
	h.t.Helper()
	return h.exec(map[string]any{"argv": []string{"sh", "-c", script}})
}

func (r result) wantExit(t *testing.T, code int) {
	t.Helper()
	if r.Running || r.ExitCode == nil || *r.ExitCode != code {
		t.Fatalf("result %+v, want exit code %d", r, code)
	}
}

func decode[T any](t testing.TB, body []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatalf("bad answer %q: %v", body, err)
	}
	return value
}

func query(path string) string {
	var out strings.Builder
	for i := range len(path) {
		fmt.Fprintf(&out, "%%%02X", path[i])
	}
	return "path=" + out.String()
}

func writeTestFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
}

// openDir is a temporary directory that user sandbox can reach.
func openDir(t *testing.T) string {
	t.Helper()
	directory := t.TempDir()
	for path := directory; path != os.TempDir() && path != "/"; path = filepath.Dir(path) {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}
