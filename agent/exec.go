package main

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/wire"
)

type execRequest struct {
	ID          string            `json:"id"`
	Argv        []string          `json:"argv"`
	Cwd         string            `json:"cwd"`
	Env         map[string]string `json:"env"`
	User        string            `json:"user"`
	TimeoutMs   int64             `json:"timeoutMs"`
	BufferBytes int               `json:"bufferBytes"`
	WaitMs      *int64            `json:"waitMs"`

	Kind                    string      `json:"kind"`
	Stdin                   bool        `json:"stdin"`
	TTY                     *windowSize `json:"tty"`
	MaxRunAfterDisconnectMs int64       `json:"maxRunAfterDisconnectMs"`
	HoldMs                  int64       `json:"holdMs"`
}

const (
	defaultKind   = "run"
	maxKindLength = 16
)

// maxMilliseconds bounds times in requests: ten years.
const maxMilliseconds = 10 * 365 * 24 * 3600 * 1000

// maxHoldMs bounds how long a command may be held back for a reader.
const maxHoldMs = 60_000

// check refuses what can't be a command and fills in the defaults.
func (r *execRequest) check() error {
	if r.ID != "" && !isSessionID(r.ID) {
		return wire.Invalid("id must be 8 lower-case hex digits")
	}
	if len(r.Argv) == 0 || r.Argv[0] == "" {
		return wire.Invalid("argv must name an executable")
	}
	size := 0
	for _, argument := range r.Argv {
		if strings.Contains(argument, "\x00") {
			return wire.Invalid("argv contains NUL")
		}
		size += len(argument) + 1
	}
	if err := account.CheckEnv(r.Env, size); err != nil {
		return err
	}
	if r.Cwd != "" {
		if err := wire.CheckPath(r.Cwd); err != nil {
			return err
		}
	}
	switch r.User {
	case "":
		r.User = account.Sandbox
	case account.Sandbox, "root":
	default:
		return wire.Invalid("user must be sandbox or root")
	}
	if r.TimeoutMs < 0 || r.TimeoutMs > maxMilliseconds {
		return wire.Invalid("timeoutMs must be 0 (none) to %d", int64(maxMilliseconds))
	}
	if r.WaitMs != nil && (*r.WaitMs < 0 || *r.WaitMs > maxMilliseconds) {
		return wire.Invalid("waitMs must be 0 to %d", int64(maxMilliseconds))
	}
	if r.BufferBytes < 0 {
		return wire.Invalid("bufferBytes must not be negative")
	}
	return r.checkLive()
}

// checkLive refuses what can't be an attachable session.
func (r *execRequest) checkLive() error {
	if r.Kind == "" {
		r.Kind = defaultKind
	}
	if len(r.Kind) > maxKindLength || !wire.IsVisibleASCII(r.Kind) {
		return wire.Invalid("kind must be 1 to %d visible ASCII characters", maxKindLength)
	}
	if r.MaxRunAfterDisconnectMs < 0 || r.MaxRunAfterDisconnectMs > maxMilliseconds {
		return wire.Invalid("maxRunAfterDisconnectMs must be 0 (for ever) to %d", int64(maxMilliseconds))
	}
	if r.HoldMs < 0 || r.HoldMs > maxHoldMs {
		return wire.Invalid("holdMs must be 0 to %d", int64(maxHoldMs))
	}
	if r.TTY != nil {
		return r.TTY.check()
	}
	return nil
}

func isSessionID(id string) bool {
	if len(id) != 8 {
		return false
	}
	for _, char := range []byte(id) {
		if (char < '0' || char > '9') && (char < 'a' || char > 'f') {
			return false
		}
	}
	return true
}

// execStart runs a command and answers with its result, or with what there is
// after waitMs.
func (a *agent) execStart(w http.ResponseWriter, r *http.Request, call *gate.Call) error {
	var request execRequest
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if err := request.check(); err != nil {
		return err
	}
	started, err := a.sessions.start(&request, a.identity.sandboxEnv())
	if err != nil {
		return err
	}
	call.Leave()
	return answerAfter(w, r, started, request.WaitMs)
}

// answerAfter waits for the end of a command, at most waitMs when given, and
// sends its result. The command goes on when the host is gone.
func answerAfter(w http.ResponseWriter, r *http.Request, s *session, waitMs *int64) error {
	var limit <-chan time.Time
	if waitMs != nil {
		timer := time.NewTimer(time.Duration(*waitMs) * time.Millisecond)
		defer timer.Stop()
		limit = timer.C
	}
	select {
	case <-s.done:
	case <-limit:
	case <-r.Context().Done():
		return nil
	}
	sendResult(w, s.snapshot(true))
	return nil
}

func (a *agent) execResult(w http.ResponseWriter, r *http.Request, call *gate.Call, id string) error {
	found, err := a.sessions.find(id)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return wire.Invalid("bad query: %v", err)
	}
	waitMs := int64(0)
	if text := query.Get("waitMs"); text != "" {
		if waitMs, err = strconv.ParseInt(text, 10, 64); err != nil || waitMs < 0 || waitMs > maxMilliseconds {
			return wire.Invalid("waitMs must be 0 to %d", int64(maxMilliseconds))
		}
	}
	call.Leave()
	return answerAfter(w, r, found, &waitMs)
}

type signalRequest struct {
	Signal int `json:"signal"`
}

func (a *agent) execSignal(w http.ResponseWriter, r *http.Request, id string) error {
	var request signalRequest
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if request.Signal < 1 || request.Signal > 64 {
		return wire.Invalid("signal must be 1 to 64")
	}
	found, err := a.sessions.find(id)
	if err != nil {
		return err
	}
	if err := found.signal(syscall.Signal(request.Signal)); err != nil {
		return err
	}
	wire.SendBody(w, http.StatusOK, []byte("{}"))
	return nil
}

func (a *agent) execList(w http.ResponseWriter) error {
	body := []byte(`{"sessions":[`)
	for i, s := range a.sessions.list() {
		if i > 0 {
			body = append(body, ',')
		}
		body = appendInfo(body, s.snapshot(false))
	}
	wire.SendBody(w, http.StatusOK, append(body, "]}"...))
	return nil
}
