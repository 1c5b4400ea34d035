package main

import (
	"context"
	"log"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/exec"
	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/identity"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/wire"
)

const (
	handshakeDeadline = 30 * time.Second
	maxFrameSize      = 1 << 20
	maxHeaderBytes    = 32 << 10 // a path of 4096 bytes, percent-encoded, fits
)

// agent is everything the protocol serves. It outlives every connection.
type agent struct {
	initKind string
	bootID   string
	gate     gate.Gate
	identity *identity.Identity
	sessions *session.Table
	exec     exec.Calls
	logs     *logs.Book
}

func newAgent(initKind string) *agent {
	book := &logs.Book{}
	a := &agent{
		initKind: initKind,
		bootID:   readBootID(),
		identity: identity.New(nil, ""),
		sessions: session.NewTable(cgroup.Open(), book),
		logs:     book,
	}
	a.exec = exec.Calls{Sessions: a.sessions, Env: func() map[string]string { return a.identity.Env() }}
	return a
}

// connection is one host connection and what it may do.
type connection struct {
	net.Conn
	shaken atomic.Bool
	timer  *time.Timer
}

func (c *connection) Close() error {
	c.timer.Stop()
	return c.Conn.Close()
}

// connections hangs up on every connection of a listener that does not shake
// hands in time.
type connections struct {
	net.Listener
	deadline time.Duration
}

func (l *connections) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	accepted := &connection{Conn: conn}
	accepted.timer = time.AfterFunc(l.deadline, func() {
		if !accepted.shaken.Load() {
			log.Printf("no handshake within %s; hanging up", l.deadline)
			conn.Close()
		}
	})
	return accepted, nil
}

type connectionKey struct{}

// serve answers the connections of listener until it fails.
func (a *agent) serve(listener net.Listener) error {
	return a.httpServer().Serve(&connections{listener, handshakeDeadline})
}

func (a *agent) httpServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:        a,
		Protocols:      protocols,
		MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:       log.Default(),
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          2048,
			MaxReadFrameSize:              maxFrameSize,
			MaxReceiveBufferPerConnection: 8 << 20,
			MaxReceiveBufferPerStream:     4 << 20,
		},
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, connectionKey{}, conn)
		},
	}
}

// ServeHTTP finds the call, checks that the host may make it, and reports its
// failure as the protocol's error body.
func (a *agent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	state := r.Context().Value(connectionKey{}).(*connection)
	if r.URL.Path == "/v1/handshake" {
		if r.Method != http.MethodPost {
			wire.SendError(w, errMethod(r))
			return
		}
		if err := a.handshake(w, r, state); err != nil {
			wire.SendError(w, err)
		}
		return
	}
	w.Header()["X-Epoch"] = []string{a.gate.Epoch()}
	if !state.shaken.Load() {
		wire.SendError(w, wire.Refuse(http.StatusPreconditionFailed, "handshake_required", "the connection must begin with POST /v1/handshake"))
		return
	}
	if r.URL.Path == "/v1/quiesce" && r.Method == http.MethodPost {
		if err := a.quiesce(w, r); err != nil {
			wire.SendError(w, err)
		}
		return
	}
	call, err := a.gate.Enter(w)
	if err != nil {
		wire.SendError(w, err)
		return
	}
	defer call.Leave()
	if err := a.route(w, r, call); err != nil {
		wire.SendError(w, err)
	}
}
