package server

import (
	"net/http"
	"strings"

	"opencomputer.dev/agent/internal/files"
	"opencomputer.dev/agent/internal/gate"
	"opencomputer.dev/agent/internal/wire"
)

// route dispatches every call other than handshake and quiesce.
func (s *Server) route(w http.ResponseWriter, r *http.Request, call *gate.Call) error {
	switch path := r.URL.Path; {
	case path == "/v1/exec":
		switch r.Method {
		case http.MethodPost:
			return s.exec.Start(w, r, call)
		case http.MethodGet:
			return s.exec.List(w)
		}
	case strings.HasPrefix(path, "/v1/exec/"):
		id, action, nested := strings.Cut(strings.TrimPrefix(path, "/v1/exec/"), "/")
		switch {
		case !nested && r.Method == http.MethodGet:
			return s.exec.Result(w, r, call, id)
		case action == "signal" && r.Method == http.MethodPost:
			return s.exec.Signal(w, r, id)
		case action == "attach" && r.Method == http.MethodPost:
			return s.exec.Attach(w, r, call, id)
		case action == "resize" && r.Method == http.MethodPost:
			return s.exec.Resize(w, r, id)
		case nested && action != "signal" && action != "attach" && action != "resize":
			return errUnknownCall(r)
		}
	case path == "/v1/use":
		if r.Method == http.MethodGet {
			return s.exec.Use(w)
		}
	case path == "/v1/egress":
		if r.Method == http.MethodPut {
			return s.egress.Put(w, r)
		}
	case path == "/v1/files":
		switch r.Method {
		case http.MethodGet:
			return files.Read(w, r)
		case http.MethodPut:
			return files.Write(w, r)
		case http.MethodDelete:
			return files.Delete(w, r)
		}
	case path == "/v1/files/stat":
		if r.Method == http.MethodGet {
			return files.Stat(w, r)
		}
	case path == "/v1/files/list":
		if r.Method == http.MethodGet {
			return files.List(w, r)
		}
	case path == "/v1/files/mkdir":
		if r.Method == http.MethodPost {
			return files.MakeDirectory(w, r)
		}
	case path == "/v1/logs":
		if r.Method == http.MethodGet {
			return s.logs.Send(w, r, call)
		}
	case path == "/v1/stats":
		if r.Method == http.MethodGet {
			return sendStats(w)
		}
	default:
		return errUnknownCall(r)
	}
	return errMethod(r)
}

func errUnknownCall(r *http.Request) error {
	return wire.Refuse(http.StatusNotFound, "unknown_call", "this agent has no call %s %.200s", r.Method, r.URL.Path)
}

func errMethod(r *http.Request) error {
	return wire.Refuse(http.StatusMethodNotAllowed, "method_not_allowed", "%s is not possible on %.200s", r.Method, r.URL.Path)
}
