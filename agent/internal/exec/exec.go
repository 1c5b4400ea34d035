// Package exec has the calls about commands: start, result, signal, and attaching
// to input and output.
package exec

import (
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/wire"
)

// Calls answers the calls about commands.
type Calls struct {
	Sessions *session.Table
	Env      func() map[string]string // of the sandbox, for every new command
}

// Start runs a command and answers with its result, or with the result so far
// after waitMs.
func (c *Calls) Start(w http.ResponseWriter, r *http.Request, call *gate.Call) error {
	var request execRequest
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if err := request.check(); err != nil {
		return err
	}
	started, err := c.Sessions.Start(request.spec(c.Env()))
	if err != nil {
		return err
	}
	call.Leave()
	return answerAfter(w, r, started, request.WaitMs)
}

// answerAfter waits for the end of a command, at most waitMs if that is given, and
// sends its result. The command goes on when the host hangs up.
func answerAfter(w http.ResponseWriter, r *http.Request, s *session.Session, waitMs *int64) error {
	var limit <-chan time.Time
	if waitMs != nil {
		timer := time.NewTimer(time.Duration(*waitMs) * time.Millisecond)
		defer timer.Stop()
		limit = timer.C
	}
	select {
	case <-s.Done():
	case <-limit:
	case <-r.Context().Done():
		return nil
	}
	sendResult(w, s)
	return nil
}

// Result answers with the result of a command, or with the result so far after the
// waitMs of the query.
func (c *Calls) Result(w http.ResponseWriter, r *http.Request, call *gate.Call, id string) error {
	found, err := c.Sessions.Find(id)
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

// Signal sends a signal to a command.
func (c *Calls) Signal(w http.ResponseWriter, r *http.Request, id string) error {
	var request signalRequest
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if request.Signal < 1 || request.Signal > 64 {
		return wire.Invalid("signal must be 1 to 64")
	}
	found, err := c.Sessions.Find(id)
	if err != nil {
		return err
	}
	if err := found.Signal(syscall.Signal(request.Signal)); err != nil {
		return err
	}
	wire.SendBody(w, http.StatusOK, []byte("{}"))
	return nil
}

// Resize changes the size of the terminal of a command.
func (c *Calls) Resize(w http.ResponseWriter, r *http.Request, id string) error {
	var size session.WindowSize
	if err := wire.ReadJSON(w, r, &size); err != nil {
		return err
	}
	if err := size.Check(); err != nil {
		return err
	}
	found, err := c.Sessions.Find(id)
	if err != nil {
		return err
	}
	if err := found.Resize(size); err != nil {
		return err
	}
	wire.SendBody(w, http.StatusOK, []byte("{}"))
	return nil
}
