package session

import (
	"fmt"
	"os"
)

const (
	oomScorePath  = "/proc/self/oom_score_adj"
	agentOOMScore = -900
)

var oomProtected bool

// ProtectFromOOM makes the kernel kill commands before it kills the agent.
func ProtectFromOOM() {
	oomProtected = os.WriteFile(oomScorePath, fmt.Append(nil, agentOOMScore), 0) == nil
}

// plainOOMScore turns the protection off while a child is made.
func plainOOMScore() (restore func()) {
	if !oomProtected || os.WriteFile(oomScorePath, []byte("0"), 0) != nil {
		return func() {}
	}
	return ProtectFromOOM
}
