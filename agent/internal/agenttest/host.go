// Package agenttest is the host's side of the agent protocol, for the tests of
// other packages.
package agenttest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/egress"
	"opencomputer.dev/agent/internal/identity"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/server"
	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/transport"
)

// Host is the worker's side of a connection to an agent under test.
type Host struct {
	Client *http.Client
	t      testing.TB
	socket string
}

// NewHost serves an agent on a socket, without a handshake.
func NewHost(t testing.TB) *Host {
	t.Helper()
	return NewHostOf(t, identity.New(nil, ""))
}

// NewHostOf is NewHost for an agent with that identity.
func NewHostOf(t testing.TB, identity *identity.Identity) *Host {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := transport.ListenSocket("unix:" + socket)
	if err != nil {
		t.Fatal(err)
	}
	book := &logs.Buffer{}
	sessions := session.NewTable(cgroup.Open(), book)
	agent := server.New(server.Config{InitKind: "systemd", Identity: identity, Egress: egress.New(""), Sessions: sessions, Logs: book})
	go agent.Serve(listener)
	t.Cleanup(func() {
		agent.Close()
		for _, s := range sessions.List() {
			_ = s.Signal(syscall.SIGKILL) // fails for those that have ended
		}
	})
	h := &Host{t: t, socket: socket}
	h.Reconnect()
	return h
}

// NewReadyHost serves an agent and makes the handshake.
func NewReadyHost(t testing.TB) *Host {
	t.Helper()
	h := NewHost(t)
	h.Want(200, "POST", "/v1/handshake", `{"protocol":1,"epoch":"first"}`)
	return h
}

// Reconnect makes the next call go over a new connection.
func (h *Host) Reconnect() {
	if h.Client != nil {
		h.Client.CloseIdleConnections()
	}
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	h.Client = &http.Client{Transport: &http.Transport{
		Protocols: protocols,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial("unix", h.socket)
		},
	}}
}

// Answer is what the agent has answered.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Call makes a call; body is nil, text, a reader, or a value for JSON.
func (h *Host) Call(method, path string, body any) Answer {
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
	response, err := h.Client.Do(request)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		h.t.Fatalf("%s %s: %v", method, path, err)
	}
	return Answer{response.StatusCode, response.Header, content}
}

// Lines makes a GET of a list in lines, and returns these.
func (h *Host) Lines(path string) []string {
	h.t.Helper()
	request, err := http.NewRequest("GET", "http://agent"+path, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	request.Header.Set("Accept", "application/x-ndjson")
	response, err := h.Client.Do(request)
	if err != nil {
		h.t.Fatalf("GET %s: %v", path, err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil || response.Header.Get("Content-Type") != "application/x-ndjson" {
		h.t.Fatalf("GET %s: %s, %v", path, response.Header.Get("Content-Type"), err)
	}
	return strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
}

// Want makes a call that must be answered with a status.
func (h *Host) Want(status int, method, path string, body any) Answer {
	h.t.Helper()
	got := h.Call(method, path, body)
	if got.Status != status {
		h.t.Fatalf("%s %s: status %d, want %d: %.500s", method, path, got.Status, status, got.Body)
	}
	return got
}

// Refused expects an error and returns its message.
func (h *Host) Refused(status int, code, method, path string, body any) string {
	h.t.Helper()
	var failure struct {
		Error struct{ Code, Message string }
	}
	got := h.Want(status, method, path, body)
	if err := json.Unmarshal(got.Body, &failure); err != nil {
		h.t.Fatalf("%s %s: bad error body %q: %v", method, path, got.Body, err)
	}
	if failure.Error.Code != code {
		h.t.Fatalf("%s %s: code %q, want %q", method, path, failure.Error.Code, code)
	}
	return failure.Error.Message
}

// Result is the result of a command.
type Result struct {
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

// Exec runs a command.
func (h *Host) Exec(request map[string]any) Result {
	h.t.Helper()
	return Decode[Result](h.t, h.Want(200, "POST", "/v1/exec", request).Body)
}

// Shell runs a line of sh.
func (h *Host) Shell(script string) Result {
	h.t.Helper()
	return h.Exec(map[string]any{"argv": []string{"sh", "-c", script}})
}

// WantExit checks that the command has ended with a code.
func (r Result) WantExit(t *testing.T, code int) {
	t.Helper()
	if r.Running || r.ExitCode == nil || *r.ExitCode != code {
		t.Fatalf("result %+v, want exit code %d", r, code)
	}
}

// Decode reads an answer.
func Decode[T any](t testing.TB, body []byte) T {
	t.Helper()
	var value T
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatalf("bad answer %q: %v", body, err)
	}
	return value
}

// PathQuery is the query that names a path.
func PathQuery(path string) string {
	var out strings.Builder
	for i := range len(path) {
		fmt.Fprintf(&out, "%%%02X", path[i])
	}
	return "path=" + out.String()
}
