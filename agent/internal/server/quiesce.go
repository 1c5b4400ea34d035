package server

import (
	"net/http"
	"runtime"
	"syscall"
	"time"

	"opencomputer.dev/agent/internal/wire"
)

// quiesceTimeout is how long calls in flight may go on, and then how long they may
// take to end once they are cut off.
const quiesceTimeout = 2 * time.Second

type quiesceRequest struct {
	Sync bool `json:"sync"`
}

// quiesce prepares for a snapshot: it waits until no call is in flight, except
// those that wait for commands, and admits none until the next handshake.
func (s *Server) quiesce(w http.ResponseWriter, r *http.Request) error {
	var request quiesceRequest
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if !s.gate.Close(quiesceTimeout) {
		s.gate.Open(s.gate.Epoch())
		return wire.Refuse(http.StatusConflict, "busy", "calls in flight did not end within %s", 2*quiesceTimeout)
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
