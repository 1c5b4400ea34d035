// Package identity gives a restored machine its identity: time, randomness, names
// and environment.
package identity

import (
	"encoding/base64"
	"encoding/hex"
	"log"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

// Request is the identity that a handshake may carry. Empty fields change nothing.
type Request struct {
	ClockUnixNs string            `json:"clockUnixNs"`
	Entropy     string            `json:"entropy"`
	Hostname    string            `json:"hostname"`
	MachineID   string            `json:"machineId"`
	Env         map[string]string `json:"env"`
}

// Identity is the machine's current identity.
type Identity struct {
	mu      sync.Mutex
	machine Machine
	root    string
	known   string // the machine id that was applied last
	env     atomic.Pointer[map[string]string]
}

// New makes the identity of a machine with nothing applied yet. Without a machine
// the kernel is not changed; without a root, the directory of etc/, no files are.
func New(machine Machine, root string) *Identity {
	i := &Identity{machine: machine, root: root}
	if root != "" {
		// From an agent that ran before this one. Without the file nothing was
		// applied.
		id, _ := linux.ReadSmallFile(filepath.Join(root, "etc/machine-id"), 64)
		i.known = strings.TrimSpace(string(id))
	}
	return i
}

// Env is the environment of the sandbox, for every later command.
func (i *Identity) Env() map[string]string {
	if env := i.env.Load(); env != nil {
		return *env
	}
	return nil
}

// Apply checks the whole request first and then applies it in the protocol's
// order. If the kernel refuses something, the call fails. A file that can't be
// written (a full or read-only disk) is only a warning, since a sandbox must wake.
// restored means that the machine has the memory of a running one; if that was
// another machine, the boot id changes, too.
func (i *Identity) Apply(request *Request, restored bool) (warnings []string, err error) {
	clock, entropy, err := request.check()
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.machine != nil {
		if clock != 0 {
			if err := i.machine.SetClock(clock); err != nil {
				return nil, errIdentity("clock", err)
			}
		}
		if len(entropy) > 0 {
			if err := i.machine.AddEntropy(entropy); err != nil {
				return nil, errIdentity("entropy", err)
			}
		}
		if request.Hostname != "" {
			if err := i.machine.SetHostname(request.Hostname); err != nil {
				return nil, errIdentity("hostname", err)
			}
		}
	}
	warn := func(err error) {
		if err != nil {
			log.Printf("identity: %v", err)
			warnings = append(warnings, err.Error())
		}
	}
	if i.root != "" && request.Hostname != "" {
		warn(linux.WriteSmallFile(filepath.Join(i.root, "etc/hostname"), []byte(request.Hostname+"\n")))
		warn(nameInHosts(filepath.Join(i.root, "etc/hosts"), request.Hostname))
	}
	if request.MachineID != "" {
		if i.machine != nil && restored && request.MachineID != i.known {
			warn(i.machine.RenewBootID())
		}
		i.known = request.MachineID
	}
	if i.root != "" && request.MachineID != "" {
		warn(linux.WriteSmallFile(filepath.Join(i.root, "etc/machine-id"), []byte(request.MachineID+"\n")))
	}
	if request.Env != nil {
		i.env.Store(&request.Env)
	}
	return warnings, nil
}

func errIdentity(part string, err error) error {
	return wire.Refuse(http.StatusInternalServerError, "identity_failed", "the kernel refused the %s: %v", part, err)
}

func errInvalidIdentity(format string, values ...any) error {
	return wire.Refuse(http.StatusBadRequest, "invalid_identity", format, values...)
}

// maxClock is the latest time that file times with 32 bits can hold.
var maxClock = time.Date(2106, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()

func (r *Request) check() (clock int64, entropy []byte, err error) {
	if r.ClockUnixNs != "" {
		clock, err = strconv.ParseInt(r.ClockUnixNs, 10, 64)
		if err != nil || clock <= 0 || clock > maxClock {
			return 0, nil, errInvalidIdentity("clockUnixNs must be nanoseconds since 1970 as a decimal string")
		}
	}
	if r.Entropy != "" {
		entropy, err = base64.StdEncoding.DecodeString(r.Entropy)
		if err != nil || len(entropy) < 32 || len(entropy) > 512 {
			return 0, nil, errInvalidIdentity("entropy must be 32 to 512 bytes in base64")
		}
	}
	if r.Hostname != "" && !isHostname(r.Hostname) {
		return 0, nil, errInvalidIdentity("hostname must be 1 to 63 letters, digits, dots and hyphens")
	}
	if r.MachineID != "" {
		if id, err := hex.DecodeString(r.MachineID); err != nil || len(id) != 16 || strings.ToLower(r.MachineID) != r.MachineID {
			return 0, nil, errInvalidIdentity("machineId must be 32 lower-case hex digits")
		}
	}
	return clock, entropy, account.CheckEnv(r.Env, 0)
}

func isHostname(name string) bool {
	if len(name) > 63 || name[0] == '-' || name[0] == '.' {
		return false
	}
	for _, char := range []byte(name) {
		isLetter := char|0x20 >= 'a' && char|0x20 <= 'z'
		if !isLetter && (char < '0' || char > '9') && char != '-' && char != '.' {
			return false
		}
	}
	return true
}
