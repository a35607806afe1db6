package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/crypto/ssh"

	"postern/internal/durable"
)

// hostKeyName is the host key that every gateway has, in its state folder.
const hostKeyName = "ssh_host_ed25519_key"

// maxKeyFile is far above the size of any private key: 16384 bits of RSA take
// 13 KiB.
const maxKeyFile = 64 << 10

// minHostRSA is the smallest RSA host key: NIST SP 800-57 gives 3072 bits the
// strength of the other algorithms in use.
const minHostRSA = 3072

// writeHostKey makes an ed25519 host key at path, which must not exist, and its
// public half beside it. It returns the public key.
func writeHostKey(path, comment string) (ssh.PublicKey, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return nil, err
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil, err
	}
	if err := durable.Create(path, pem.EncodeToMemory(block), 0o600); err != nil {
		return nil, err
	}
	return key, durable.Create(path+".pub", ssh.MarshalAuthorizedKey(key), 0o644)
}

// loadHostKey reads one host key. The error is a [finding]. It never makes one:
// a new host key must be somebody's decision, or clients learn to accept them.
func loadHostKey(path string) (ssh.Signer, error) {
	content, err := readPrivate(path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(content)
	var locked *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &locked):
		return nil, mistake(path, "the host key has a passphrase, and nobody is there to type it",
			fmt.Sprintf("remove it with ssh-keygen -p -f %s", path))
	case err != nil:
		return nil, mistake(path, fmt.Sprintf("not a private key in OpenSSH or PEM form: %v", err),
			"restore the file, or make another key with ssh-keygen")
	}
	return signer, checkHostKeyType(path, signer.PublicKey())
}

// checkHostKeyType refuses host keys that clients of today do not accept, or
// should not.
func checkHostKeyType(path string, key ssh.PublicKey) error {
	if filepath.Base(path) == hostKeyName && key.Type() != ssh.KeyAlgoED25519 {
		return mistake(path, fmt.Sprintf("this is a key of type %s, not ed25519", key.Type()),
			"move it to another name, list it under host_keys, and make an ed25519 key with ssh-keygen -t ed25519")
	}
	switch key.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if bits := rsaBits(key); bits < minHostRSA {
			return mistake(path, fmt.Sprintf("the RSA key has %d bits", bits),
				fmt.Sprintf("make one with ssh-keygen -t rsa -b %d", minHostRSA))
		}
		return nil
	}
	return mistake(path, fmt.Sprintf("keys of type %s are not used as host keys", key.Type()),
		"use ed25519, ecdsa, or rsa")
}

func rsaBits(key ssh.PublicKey) int {
	holder, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return 0
	}
	public, ok := holder.CryptoPublicKey().(*rsa.PublicKey)
	if !ok {
		return 0
	}
	return public.N.BitLen()
}

// readPrivate reads a file that nobody but root and the gateway's user may be
// able to read or change. It looks at the file that it opened, not at the name.
func readPrivate(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, mistake(path, "the host key does not exist", "make one with postern init, or restore it from a backup")
	case errors.Is(err, syscall.ELOOP):
		return nil, mistake(path, "the host key is a symbolic link", "put the file itself there")
	case err != nil:
		return nil, mistake(path, fmt.Sprintf("the host key cannot be read: %v", errors.Unwrap(err)), "run postern as its owner")
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, mistake(path, err.Error(), "see whether the disk is well")
	}
	if err := checkPrivate(path, info); err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, mistake(path, err.Error(), "see whether the disk is well")
	}
	return content, nil
}

func checkPrivate(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return mistake(path, "the host key is not a file", "put the file itself there")
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return mistake(path, fmt.Sprintf("the host key has mode %04o: others can read it", mode), "chmod 600 "+path)
	}
	if owner := ownerOf(info); owner != 0 && owner != os.Geteuid() {
		return mistake(path, fmt.Sprintf("the host key belongs to uid %d, neither root nor the gateway's user", owner),
			fmt.Sprintf("chown %d %s", os.Geteuid(), path))
	}
	return nil
}

// ownerOf returns the uid that owns a file.
func ownerOf(info fs.FileInfo) int {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return -1
	}
	return int(stat.Uid)
}
