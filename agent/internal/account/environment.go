package account

import (
	"net/http"
	"strings"
	"sync"

	"opencomputer.dev/agent/internal/linux"
	"opencomputer.dev/agent/internal/wire"
)

// BasePath is the PATH of the system's programs.
const BasePath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const (
	environmentFile    = "/etc/environment"
	maxEnvironmentFile = 256 << 10
)

// MaxArguments bounds the arguments and the environment of a command together, in
// bytes, each with its NUL: the limit of Linux for a program with the usual stack
// of 8 MiB, without the pointers to them.
const MaxArguments = 2 << 20

// Env merges the layers of a command's environment; later ones win. Below them
// are /etc/environment and what login would set.
func (a *Account) Env(layers ...map[string]string) []string {
	merged := map[string]string{
		"PATH":    a.path(),
		"HOME":    a.Home,
		"USER":    a.Name,
		"LOGNAME": a.Name,
		"SHELL":   "/bin/bash",
		"LANG":    "C.UTF-8",
	}
	layers = append([]map[string]string{systemEnv()}, layers...)
	for _, layer := range layers {
		for name, value := range layer {
			merged[name] = value
		}
	}
	env := make([]string, 0, len(merged))
	for name, value := range merged {
		env = append(env, name+"="+value)
	}
	return env
}

// path is the default PATH of commands: what the user has installed (pip, npm -g,
// uv, ...) comes before the system's programs.
func (a *Account) path() string {
	if a.Home == "" || a.Home == "/" || strings.Contains(a.Home, ":") {
		return BasePath
	}
	return a.Home + "/.local/bin:" + BasePath
}

var systemEnvCache struct {
	mu      sync.Mutex
	version fileVersion
	env     map[string]string
}

// systemEnv is /etc/environment, read again when it changes.
func systemEnv() map[string]string {
	cache := &systemEnvCache
	cache.mu.Lock()
	defer cache.mu.Unlock()
	version := versionOf(environmentFile)
	if version == cache.version {
		return cache.env
	}
	text, err := linux.ReadSmallFile(environmentFile, maxEnvironmentFile)
	if err != nil {
		return nil
	}
	cache.version, cache.env = version, parseEnvironment(string(text))
	return cache.env
}

// parseEnvironment reads NAME=value lines as login does: comments, an optional
// "export" and one pair of quotes around the value.
func parseEnvironment(text string) map[string]string {
	env := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		line = strings.TrimSpace(strings.TrimPrefix(line, "export "))
		name, value, found := strings.Cut(line, "=")
		if !found || !isEnvName(name) || strings.HasPrefix(name, "#") || strings.Contains(value, "\x00") {
			continue
		}
		if size := len(value); size >= 2 && (value[0] == '"' || value[0] == '\'') && value[size-1] == value[0] {
			value = value[1 : size-1]
		}
		env[name] = value
	}
	return env
}

func isEnvName(name string) bool { return name != "" && !strings.ContainsAny(name, "=\x00") }

// CheckEnv refuses names and values that the kernel can't take, and more bytes
// than the protocol allows, counting those already used.
func CheckEnv(env map[string]string, used int) error {
	for name, value := range env {
		if !isEnvName(name) {
			return wire.Invalid("bad environment name %.64q: it must not be empty nor contain = or NUL", name)
		}
		if strings.Contains(value, "\x00") {
			return wire.Invalid("the environment value of %.64q contains NUL", name)
		}
		used += len(name) + len(value) + 2
	}
	if used > MaxArguments {
		return wire.Refuse(http.StatusRequestEntityTooLarge, "too_large", "arguments and environment have %d bytes, more than %d", used, MaxArguments)
	}
	return nil
}
