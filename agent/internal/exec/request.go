package exec

import (
	"strings"
	"time"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/session"
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

	Kind                    string              `json:"kind"`
	Stdin                   bool                `json:"stdin"`
	TTY                     *session.WindowSize `json:"tty"`
	MaxRunAfterDisconnectMs int64               `json:"maxRunAfterDisconnectMs"`
	HoldMs                  int64               `json:"holdMs"`
	KeepAwake               *bool               `json:"keepAwake"`
	Unlogged                bool                `json:"unlogged"`
	Unlisted                bool                `json:"unlisted"`
}

const (
	defaultKind   = "run"
	maxKindLength = 16
)

// maxMilliseconds bounds times in requests: ten years.
const maxMilliseconds = 10 * 365 * 24 * 3600 * 1000

// maxHoldMs bounds how long a command may be blocked until a reader comes.
const maxHoldMs = 60_000

// check refuses an invalid command and fills in the defaults.
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
	return r.checkSession()
}

// checkSession refuses invalid options of a session that clients attach to.
func (r *execRequest) checkSession() error {
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
		return r.TTY.Check()
	}
	return nil
}

// spec is the command of a checked request, in the environment of the sandbox.
func (r *execRequest) spec(sandboxEnv map[string]string) *session.Spec {
	return &session.Spec{
		ID:          r.ID,
		Kind:        r.Kind,
		Argv:        r.Argv,
		Directory:   r.Cwd,
		Env:         []map[string]string{sandboxEnv, r.Env},
		User:        r.User,
		Timeout:     time.Duration(r.TimeoutMs) * time.Millisecond,
		BufferBytes: r.BufferBytes,
		Input:       r.Stdin,
		Terminal:    r.TTY,
		Alone:       time.Duration(r.MaxRunAfterDisconnectMs) * time.Millisecond,
		Hold:        time.Duration(r.HoldMs) * time.Millisecond,
		Background:  r.KeepAwake != nil && !*r.KeepAwake,
		Unlogged:    r.Unlogged,
		Unlisted:    r.Unlisted,
	}
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
