package main

import (
	"net/http"
	"strconv"

	"opencomputer.dev/agent/internal/linux"
)

const (
	protocolVersion = 1
	generation      = 2
	maxEpochLength  = 64
)

type handshakeRequest struct {
	Protocol int              `json:"protocol"`
	Epoch    string           `json:"epoch"`
	Identity *identityRequest `json:"identity"`
}

// handshake begins an epoch. The identity is applied before the answer, so
// that the answer proves it. This is the path a restored machine takes first:
// it executes nothing and touches little.
func (a *agent) handshake(w http.ResponseWriter, r *http.Request, state *connection) error {
	var request handshakeRequest
	if err := readJSON(w, r, &request); err != nil {
		return err
	}
	if request.Protocol != protocolVersion {
		return refuse(http.StatusBadRequest, "unsupported_protocol", "this agent speaks protocol %d, not %d", protocolVersion, request.Protocol)
	}
	if request.Epoch == "" || len(request.Epoch) > maxEpochLength || !isVisibleASCII(request.Epoch) {
		return refuse(http.StatusBadRequest, "invalid_request", "epoch must be 1 to %d visible ASCII characters", maxEpochLength)
	}
	var warnings []string
	if request.Identity != nil {
		var err error
		if warnings, err = a.identity.apply(request.Identity); err != nil {
			return err
		}
	}
	a.gate.open(request.Epoch)
	state.shaken.Store(true)
	state.timer.Stop()
	w.Header()["X-Epoch"] = []string{request.Epoch}
	sendBody(w, http.StatusOK, a.appendHandshake(nil, request.Epoch, warnings))
	return nil
}

func (a *agent) appendHandshake(out []byte, epoch string, warnings []string) []byte {
	out = append(out, `{"protocol":1,"generation":`...)
	out = strconv.AppendInt(out, generation, 10)
	out = append(out, `,"version":`...)
	out = appendJSONString(out, version)
	out = append(out, `,"epoch":`...)
	out = appendJSONString(out, epoch)
	out = append(out, `,"bootId":`...)
	out = appendJSONString(out, a.bootID)
	out = append(out, `,"uptimeMs":`...)
	out = strconv.AppendInt(out, linux.Uptime().Milliseconds(), 10)
	out = append(out, `,"init":`...)
	out = appendJSONString(out, a.initKind)
	out = append(out, `,"memoryBytes":`...)
	out = strconv.AppendUint(out, linux.MemoryTotal(), 10)
	out = append(out, `,"warnings":[`...)
	for i, warning := range warnings {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendJSONString(out, warning)
	}
	return append(out, "]}"...)
}

// isVisibleASCII tells whether text can be sent back as a header.
func isVisibleASCII(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
