// Package egress sets up what programs of the guest need to reach the internet
// through the host's network: certificates to trust, and variables that name them
// and a proxy.
package egress

import (
	"log"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"opencomputer.dev/agent/internal/account"
	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

// Debian's paths of these, below the root of the guest.
const (
	digestFile      = "var/lib/opencomputer/egress"
	environmentFile = "etc/environment"
)

const (
	maxDigest       = 64
	maxVariables    = 64
	maxCertificates = 1000
)

// Request is the body of PUT /v1/egress. It replaces all earlier settings.
type Request struct {
	// Digest identifies the other fields; the handshake reports it.
	Digest string `json:"digest"`
	// Certificates are PEM blocks.
	Certificates []string `json:"certificates"`
	// Environment is for every program of the guest.
	Environment map[string]string `json:"environment"`
	// Wait delays the answer until every trust store of the guest has been
	// rebuilt.
	Wait bool `json:"wait"`
}

// Settings are the settings of the guest below root.
type Settings struct {
	root string
	// update rebuilds the trust stores that are made from the system's.
	update func(fresh bool) error
	mu     sync.Mutex
}

// New makes the settings of the guest below root; an empty root is for tests that
// have no guest.
func New(root string) *Settings { return &Settings{root: root, update: updateStores} }

// Digest identifies the settings that the guest has; empty means none.
func (s *Settings) Digest() string {
	if s.root == "" {
		return ""
	}
	text, err := linux.ReadSmallFile(s.path(digestFile), maxDigest)
	if err != nil || !wire.IsVisibleASCII(string(text)) {
		return ""
	}
	return string(text)
}

func (s *Settings) path(name string) string { return filepath.Join(s.root, name) }

// Put serves PUT /v1/egress.
func (s *Settings) Put(w http.ResponseWriter, r *http.Request) error {
	var request Request
	if err := wire.ReadJSON(w, r, &request); err != nil {
		return err
	}
	if err := s.Apply(&request); err != nil {
		return err
	}
	wire.SendBody(w, http.StatusOK, []byte("{}"))
	return nil
}

// Apply applies the requested settings. The system's own store and the environment
// are complete when it returns. The others (hashed directory, Java) are rebuilt
// later, unless the request waits for them.
func (s *Settings) Apply(request *Request) error {
	if err := request.check(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.root == "" || s.Digest() == request.Digest {
		return nil
	}
	replaced, err := s.apply(request)
	if err != nil {
		return wire.Refuse(http.StatusInsufficientStorage, "no_space", "the settings of the host's network: %v", err)
	}
	if request.Wait {
		if err := s.update(replaced); err != nil {
			return wire.Refuse(http.StatusInternalServerError, "egress_failed", "the guest's trust stores: %v", err)
		}
		return nil
	}
	go func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if err := s.update(replaced); err != nil {
			log.Printf("egress: %v", err)
		}
	}()
	return nil
}

// apply reports whether other certificates were removed.
func (s *Settings) apply(request *Request) (replaced bool, err error) {
	replaced, err = s.trust(request.Certificates)
	if err != nil {
		return false, err
	}
	path := s.path(environmentFile)
	text, err := readText(path)
	if err != nil {
		return false, err
	}
	if err := replaceFile(path, withVariables(text, request.Environment)); err != nil {
		return false, err
	}
	if err := os.MkdirAll(filepath.Dir(s.path(digestFile)), 0o755); err != nil {
		return false, err
	}
	// Written last: after a crash before this, all settings are applied again.
	return replaced, replaceFile(s.path(digestFile), request.Digest)
}

func (r *Request) check() error {
	if len(r.Digest) > maxDigest || !wire.IsVisibleASCII(r.Digest) {
		return wire.Invalid("digest must be at most %d visible ASCII characters", maxDigest)
	}
	if len(r.Certificates) > maxCertificates {
		return wire.Invalid("there may be at most %d certificates", maxCertificates)
	}
	for _, certificate := range r.Certificates {
		if !isCertificate(certificate) {
			return wire.Invalid("each certificate must be one PEM block")
		}
	}
	if len(r.Environment) > maxVariables {
		return wire.Invalid("there may be at most %d variables", maxVariables)
	}
	for name, value := range r.Environment {
		if strings.ContainsAny(name+value, "\r\n#'\"") {
			return wire.Invalid("the variable %.64q must not hold line ends, quotes or #", name)
		}
	}
	return account.CheckEnv(r.Environment, 0)
}

const updater = "/usr/sbin/update-ca-certificates"

// updateStores makes Debian rebuild everything that is made from the certificates:
// the bundle, the hashed directory and, by the hooks of packages, the stores of
// Java and others. Without fresh, links to certificates that are gone are left in
// place.
func updateStores(fresh bool) error {
	if _, err := os.Stat(updater); err != nil {
		return nil // a guest without ca-certificates has no such stores
	}
	command := exec.Command(updater)
	if fresh {
		command.Args = append(command.Args, "--fresh")
	}
	command.Env = []string{"PATH=" + account.BasePath}
	output, err := command.CombinedOutput()
	if err != nil {
		log.Printf("egress: %s: %.1000s", updater, output)
	}
	return err
}
