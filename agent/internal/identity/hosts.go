package identity

import (
	"errors"
	"os"
	"strings"

	"opencomputer.dev/agent/internal/linux"
)

const (
	ownHostAddress = "127.0.1.1"
	maxHostsFile   = 256 << 10
)

// nameInHosts sets the name in the 127.0.1.1 line of a hosts file, so that the
// machine can resolve its own name without a name server. Other lines stay.
func nameInHosts(path, name string) error {
	text, err := linux.ReadSmallFile(path, maxHostsFile)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return linux.WriteSmallFile(path, []byte(hostsWith(string(text), name)))
}

func hostsWith(text, name string) string {
	entry := ownHostAddress + "\t" + name
	var lines []string
	placed := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		fields := strings.Fields(line)
		if len(fields) > 0 && fields[0] == ownHostAddress {
			if placed {
				continue
			}
			line = entry
			placed = true
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		lines = append(lines, "127.0.0.1\tlocalhost")
	}
	if !placed {
		lines = append(lines, entry)
	}
	return strings.Join(lines, "\n") + "\n"
}
