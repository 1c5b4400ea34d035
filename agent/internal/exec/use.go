package exec

import (
	"net/http"

	"opencomputer.dev/agent/internal/wire"
)

type user struct {
	ID      string `json:"id"`
	Kind    string `json:"kind"`
	Command string `json:"command"`
}

type useAnswer struct {
	Sessions []user `json:"sessions"`
	Count    int    `json:"count"`
	IdleMs   *int64 `json:"idleMs"` // null where nothing was in use yet
}

// Use answers with what keeps the sandbox awake, or how long ago the last use
// ended.
func (c *Calls) Use(w http.ResponseWriter) error {
	use := c.Sessions.Use()
	answer := useAnswer{Sessions: []user{}, Count: use.Count}
	for _, s := range use.Sessions {
		kind, command := s.Name()
		answer.Sessions = append(answer.Sessions, user{s.ID, kind, command})
	}
	if use.Known {
		idle := use.Since.Milliseconds()
		answer.IdleMs = &idle
	}
	return wire.SendJSON(w, answer)
}
