package main

import (
	"net/http"
	"sync"
	"time"

	"opencomputer.dev/agent/internal/wire"
)

// gate knows the epoch, counts the calls in flight, and refuses calls while
// the agent is quiesced.
type gate struct {
	mu       sync.Mutex
	epoch    string
	quiesced bool
	calls    map[*call]struct{}
	emptied  chan struct{} // closed when calls becomes empty; nil when nobody waits
	quiet    chan struct{} // closed when the next quiesce begins; nil when nobody waits
}

// call is one request in flight.
type call struct {
	gate     *gate
	response *http.ResponseController
	once     sync.Once
}

func (g *gate) currentEpoch() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch
}

func (g *gate) isQuiesced() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.quiesced
}

// open begins an epoch: calls are accepted from now on.
func (g *gate) open(epoch string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.epoch = epoch
	if g.quiesced {
		g.quiet = nil
	}
	g.quiesced = false
}

// quiescing returns a channel that is closed when a quiesce begins.
func (g *gate) quiescing() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.quiet == nil {
		g.quiet = make(chan struct{})
		if g.quiesced {
			close(g.quiet)
		}
	}
	return g.quiet
}

// enter admits a call, or refuses it while the agent is quiesced.
func (g *gate) enter(w http.ResponseWriter) (*call, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.quiesced {
		return nil, wire.Refuse(http.StatusConflict, "quiesced", "the agent is quiesced; shake hands again")
	}
	if g.calls == nil {
		g.calls = make(map[*call]struct{})
	}
	entered := &call{gate: g, response: http.NewResponseController(w)}
	g.calls[entered] = struct{}{}
	return entered, nil
}

// leave ends a call as far as quiescing is concerned. A call that only waits
// for a command leaves early.
func (c *call) leave() {
	c.once.Do(func() {
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		delete(c.gate.calls, c)
		if len(c.gate.calls) == 0 && c.gate.emptied != nil {
			close(c.gate.emptied)
			c.gate.emptied = nil
		}
	})
}

// close refuses new calls and waits for those in flight: first for patience,
// then, with their bodies cut off, for patience again. It reports whether all
// are gone.
func (g *gate) close(patience time.Duration) bool {
	g.mu.Lock()
	if g.quiet != nil && !g.quiesced {
		close(g.quiet)
	}
	g.quiesced = true
	if len(g.calls) == 0 {
		g.mu.Unlock()
		return true
	}
	if g.emptied == nil {
		g.emptied = make(chan struct{})
	}
	emptied := g.emptied
	g.mu.Unlock()

	if waitFor(emptied, patience) {
		return true
	}
	g.mu.Lock()
	past := time.Unix(1, 0)
	for stuck := range g.calls {
		// Both fail only when the call's stream is gone already.
		_ = stuck.response.SetReadDeadline(past)
		_ = stuck.response.SetWriteDeadline(past)
	}
	g.mu.Unlock()
	return waitFor(emptied, patience)
}

func waitFor(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
