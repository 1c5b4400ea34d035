package egress

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"opencomputer.dev/agent/internal/linux"
)

const (
	// The host's certificates, in the directory from which update-ca-certificates
	// takes local ones.
	localDirectory = "usr/local/share/ca-certificates/opencomputer"
	bundleFile     = "etc/ssl/certs/ca-certificates.crt"
)

// maxText bounds the files that are read, in bytes.
const maxText = 16 << 20

// isCertificate reports whether text is one PEM block of a certificate.
func isCertificate(text string) bool {
	block, rest := pem.Decode([]byte(text))
	return block != nil && block.Type == "CERTIFICATE" && len(rest) == 0
}

// trust replaces the certificates that the guest trusts in addition to its own: in
// the bundle at once, and as files from which the bundle and the other stores are
// rebuilt. It reports whether others were removed.
func (s *Settings) trust(certificates []string) (replaced bool, err error) {
	directory := s.path(localDirectory)
	before, err := filepath.Glob(filepath.Join(directory, "*.crt"))
	if err != nil {
		return false, err
	}
	bundle, err := readText(s.path(bundleFile))
	if err != nil {
		return false, err
	}
	for _, file := range before {
		old, err := readText(file)
		if err != nil {
			return false, err
		}
		bundle = strings.Replace(bundle, old, "", 1)
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	number := 0
	for _, certificate := range certificates {
		certificate = strings.TrimSpace(certificate) + "\n"
		if strings.Contains(bundle, certificate) {
			continue // one that the guest trusts anyway
		}
		if number == 0 {
			if err := os.MkdirAll(directory, 0o755); err != nil {
				return false, err
			}
		}
		number++
		if err := replaceFile(filepath.Join(directory, fmt.Sprintf("opencomputer-%03d.crt", number)), certificate); err != nil {
			return false, err
		}
		bundle += certificate
	}
	if number == 0 && len(before) == 0 {
		return false, nil
	}
	if err := os.MkdirAll(filepath.Dir(s.path(bundleFile)), 0o755); err != nil {
		return false, err
	}
	return len(before) > 0, replaceFile(s.path(bundleFile), bundle)
}

// readText reads a small file; a missing one counts as empty.
func readText(path string) (string, error) {
	text, err := linux.ReadSmallFile(path, maxText)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return string(text), nil
}

// replaceFile replaces the content of a file, completely or not at all.
func replaceFile(path, text string) error {
	draft, err := os.CreateTemp(filepath.Dir(path), ".opencomputer-")
	if err != nil {
		return err
	}
	defer os.Remove(draft.Name()) // fails once it has been renamed
	_, err = draft.WriteString(text)
	err = errors.Join(err, draft.Chmod(0o644), draft.Sync(), draft.Close())
	if err != nil {
		return err
	}
	return os.Rename(draft.Name(), path)
}
