// Package gate tracks the calls that a snapshot has to wait for, and admits none
// while the agent is quiesced.
package gate

import (
	"net/http"
	"sync"
	"time"

	"opencomputer.dev/agent/internal/wire"
)

// Gate knows the epoch, counts the calls in flight, and refuses calls while
// the agent is quiesced. The zero Gate is open.
type Gate struct {
	mu       sync.Mutex
	epoch    string
	quiesced bool
	calls    map[*Call]struct{}
	emptied  chan struct{} // closed when calls becomes empty; nil when nobody waits
	quiet    chan struct{} // closed when the next quiesce begins; nil when nobody waits
}

// Call is one request in flight.
type Call struct {
	gate     *Gate
	response *http.ResponseController
	once     sync.Once
}

// Epoch is the epoch of the last handshake.
func (g *Gate) Epoch() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.epoch
}

// Quiesced reports whether no call may begin until the next handshake.
func (g *Gate) Quiesced() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.quiesced
}

// Open begins an epoch: calls are admitted from now on.
func (g *Gate) Open(epoch string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.epoch = epoch
	if g.quiesced {
		g.quiet = nil
	}
	g.quiesced = false
}

// Enter admits a call, or refuses it while the agent is quiesced.
func (g *Gate) Enter(w http.ResponseWriter) (*Call, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.quiesced {
		return nil, wire.Refuse(http.StatusConflict, "quiesced", "the agent is quiesced; shake hands again")
	}
	if g.calls == nil {
		g.calls = make(map[*Call]struct{})
	}
	entered := &Call{gate: g, response: http.NewResponseController(w)}
	g.calls[entered] = struct{}{}
	return entered, nil
}

// Leave ends a call for the purposes of quiescing. A call that only waits for a
// command leaves early.
func (c *Call) Leave() {
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

// Quiescing returns a channel that is closed when a quiesce begins.
func (c *Call) Quiescing() <-chan struct{} {
	g := c.gate
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

// Close refuses new calls and waits for those in flight, at most for timeout; then
// it cuts off their bodies and waits for timeout once more. It reports whether all
// have ended.
func (g *Gate) Close(timeout time.Duration) bool {
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

	if waitFor(emptied, timeout) {
		return true
	}
	g.mu.Lock()
	past := time.Unix(1, 0)
	for stuck := range g.calls {
		// Both fail only when the call's stream has ended already.
		_ = stuck.response.SetReadDeadline(past)
		_ = stuck.response.SetWriteDeadline(past)
	}
	g.mu.Unlock()
	return waitFor(emptied, timeout)
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
