// Package server serves the agent protocol: what a connection may do, and which
// call goes where.
package server

import (
	"context"
	"log"
	"net"
	"net/http"
	"time"

	"opencomputer.dev/agent/internal/egress"
	"opencomputer.dev/agent/internal/exec"
	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/identity"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/wire"
)

const (
	maxFrameSize   = 1 << 20
	maxHeaderBytes = 32 << 10 // a path of 4096 bytes, percent-encoded, fits
)

// Config is what a server serves.
type Config struct {
	InitKind string // what PID 1 is: systemd or agent
	Identity *identity.Identity
	Egress   *egress.Settings
	Sessions *session.Table
	Logs     *logs.Buffer
}

// Server is the agent as its host sees it. It outlives every connection.
type Server struct {
	initKind string
	bootID   string
	started  time.Duration // by the clock of linux.Uptime
	gate     gate.Gate
	identity *identity.Identity
	egress   *egress.Settings
	exec     exec.Calls
	logs     *logs.Buffer
	http     *http.Server
}

// New makes a server that waits for its first handshake.
func New(config Config) *Server {
	s := &Server{
		initKind: config.InitKind,
		bootID:   readBootID(),
		started:  linux.Uptime(),
		identity: config.Identity,
		egress:   config.Egress,
		exec:     exec.Calls{Sessions: config.Sessions, Env: config.Identity.Env},
		logs:     config.Logs,
	}
	s.http = s.httpServer()
	return s
}

// Serve answers the connections of listener until it fails or the server is
// closed.
func (s *Server) Serve(listener net.Listener) error {
	return s.http.Serve(&connections{listener, handshakeDeadline})
}

// Close ends all connections. Commands go on.
func (s *Server) Close() error { return s.http.Close() }

// Quiesced reports whether the host has announced that it will hang up.
func (s *Server) Quiesced() bool { return s.gate.Quiesced() }

func (s *Server) httpServer() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:        http.HandlerFunc(s.answer),
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

// answer finds the call, checks that the host may make it, and answers a failure
// with the protocol's error body.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	state := r.Context().Value(connectionKey{}).(*connection)
	if r.URL.Path == "/v1/handshake" {
		if r.Method != http.MethodPost {
			wire.SendError(w, errMethod(r))
			return
		}
		if err := s.handshake(w, r, state); err != nil {
			wire.SendError(w, err)
		}
		return
	}
	w.Header()["X-Epoch"] = []string{s.gate.Epoch()}
	if !state.shaken.Load() {
		wire.SendError(w, wire.Refuse(http.StatusPreconditionFailed, "handshake_required", "the connection must begin with POST /v1/handshake"))
		return
	}
	if r.URL.Path == "/v1/quiesce" && r.Method == http.MethodPost {
		if err := s.quiesce(w, r); err != nil {
			wire.SendError(w, err)
		}
		return
	}
	call, err := s.gate.Enter(w)
	if err != nil {
		wire.SendError(w, err)
		return
	}
	defer call.Leave()
	if err := s.route(w, r, call); err != nil {
		wire.SendError(w, err)
	}
}
