package server

import (
	"net/http"
	"runtime"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/wire"
)

// quiescePatience is how long calls in flight may go on, and after that how
// long they may take to be cut off.
const quiescePatience = 2 * time.Second

type quiesceRequest struct {
	Sync bool `json:"sync"`
}

// quiesce brings the agent to rest before a snapshot: no call in flight but
// waits for commands, none accepted until the next handshake.
func (s *Server) quiesce(w http.ResponseWriter, r *http.Request) error {
	var request quiesceRequest
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if !s.gate.Close(quiescePatience) {
		s.gate.Open(s.gate.Epoch())
		return wire.Refuse(http.StatusConflict, "busy", "calls in flight did not end within %s", 2*quiescePatience)
	}
	if request.Sync {
		if err := syncFilesystem("/"); err != nil {
			s.gate.Open(s.gate.Epoch())
			return wire.Refuse(http.StatusInternalServerError, "sync_failed", "the root file system could not be written out: %v", err)
		}
	}
	wire.SendBody(w, http.StatusOK, []byte("{}"))
	return nil
}

var sysSyncfs = map[string]uintptr{"amd64": 306, "arm64": 267}[runtime.GOARCH]

// syncFilesystem writes out the file system that holds path.
func syncFilesystem(path string) error {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(fd)
	if _, _, errno := syscall.Syscall(sysSyncfs, uintptr(fd), 0, 0); errno != 0 {
		return errno
	}
	return nil
}
