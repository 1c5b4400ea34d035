package server

import (
	"net/http"
	"os"
	"strconv"

	"opencomputer.dev/agent/internal/identity"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

// version is the release of the agent.
const version = "0.1.0"

const (
	protocolVersion = 1
	generation      = 4
	maxEpochLength  = 64
)

type handshakeRequest struct {
	Protocol int               `json:"protocol"`
	Epoch    string            `json:"epoch"`
	Identity *identity.Request `json:"identity"`
}

// handshake begins an epoch. The identity is applied before the answer, so that
// the answer proves it. A restored machine runs this first: to be fast it starts
// no program and uses little memory.
func (s *Server) handshake(w http.ResponseWriter, r *http.Request, state *connection) error {
	var request handshakeRequest
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if request.Protocol != protocolVersion {
		return wire.Refuse(http.StatusBadRequest, "unsupported_protocol", "this agent speaks protocol %d, not %d", protocolVersion, request.Protocol)
	}
	if request.Epoch == "" || len(request.Epoch) > maxEpochLength || !wire.IsVisibleASCII(request.Epoch) {
		return wire.Invalid("epoch must be 1 to %d visible ASCII characters", maxEpochLength)
	}
	var warnings []string
	if request.Identity != nil {
		var err error
		if warnings, err = s.identity.Apply(request.Identity, s.gate.Epoch() != ""); err != nil {
			return err
		}
	}
	s.gate.Open(request.Epoch)
	state.shaken.Store(true)
	state.timer.Stop()
	w.Header()["X-Epoch"] = []string{request.Epoch}
	wire.SendBody(w, http.StatusOK, s.appendHandshake(nil, request.Epoch, warnings))
	return nil
}

func (s *Server) appendHandshake(out []byte, epoch string, warnings []string) []byte {
	out = append(out, `{"protocol":1,"generation":`...)
	out = strconv.AppendInt(out, generation, 10)
	out = append(out, `,"version":`...)
	out = wire.AppendString(out, version)
	out = append(out, `,"epoch":`...)
	out = wire.AppendString(out, epoch)
	out = append(out, `,"bootId":`...)
	out = wire.AppendString(out, s.bootID)
	uptime := linux.Uptime()
	out = append(out, `,"uptimeMs":`...)
	out = strconv.AppendInt(out, uptime.Milliseconds(), 10)
	out = append(out, `,"agentUptimeMs":`...)
	out = strconv.AppendInt(out, (uptime - s.started).Milliseconds(), 10)
	out = append(out, `,"init":`...)
	out = wire.AppendString(out, s.initKind)
	out = append(out, `,"memoryBytes":`...)
	out = strconv.AppendUint(out, linux.MemoryTotal(), 10)
	out = append(out, `,"egress":`...)
	out = wire.AppendString(out, s.egress.Digest())
	out = append(out, `,"warnings":[`...)
	for i, warning := range warnings {
		if i > 0 {
			out = append(out, ',')
		}
		out = wire.AppendString(out, warning)
	}
	return append(out, "]}"...)
}

func readBootID() string {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(text) < 36 {
		return ""
	}
	return string(text[:36])
}
