/*
 * Loaded into a real process (LD_PRELOAD), this ends it with SIGKILL exactly at its Nth write to a file, fsync, or write to a
 * socket: before the call, in the middle of it, after it, or after it with the power cut, which takes back whatever was
 * written and not yet synced. It also makes a disk full. What is to happen is read from a page shared with the test
 * (sudden-death.ts), which may change it while the process runs; the counts stay there when the process is gone.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum point { NOTHING, WRITE, SYNC, REPLY, QUERY, UPSTREAM, POINTS };
enum moment { BEFORE, TORN, AFTER, CUT };

/* The shared page; sudden-death.ts knows the offsets. */
struct control {
  volatile uint32_t point, moment, nth;
  volatile uint32_t local_port, database_port, provider_port;
  volatile uint32_t fired, limited;
  volatile int64_t room; /* octets by which files may still grow, when limited */
  volatile uint32_t counts[POINTS];
};

/* What a file was before a write that is not synced yet. */
struct undo {
  struct undo *older;
  dev_t device;
  ino_t inode;
  off_t size, offset;
  size_t length;
  char *path, *octets;
};

static struct control *control;
static const char *folder;
static struct undo *unsynced;
static volatile int dying;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void attach(void) {
  const char *page = getenv("SUDDEN_DEATH_PAGE");
  folder = getenv("SUDDEN_DEATH_FOLDER");
  if (!page || !folder) return;
  int fd = syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC);
  if (fd < 0) abort();
  void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) abort();
  syscall(SYS_close, fd);
  control = at;
}

static int port_of(const struct sockaddr_storage *address) {
  if (address->ss_family == AF_INET) return ntohs(((const struct sockaddr_in *)address)->sin_port);
  if (address->ss_family == AF_INET6) return ntohs(((const struct sockaddr_in6 *)address)->sin6_port);
  return 0;
}

/* The file's path when it lies in the folder that is watched. */
static int path_of(int fd, char *path, size_t room) {
  char link[32] = "/proc/self/fd/", digits[12];
  int at = sizeof digits - 1, rest = fd;
  digits[at] = 0;
  do digits[--at] = '0' + rest % 10;
  while (rest /= 10);
  strcat(link, digits + at);
  ssize_t length = readlink(link, path, room - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  size_t prefix = strlen(folder);
  return strncmp(path, folder, prefix) == 0 && path[prefix] == '/';
}

static enum point kind_of(int fd, const struct stat *facts, char *path, size_t room) {
  if (S_ISREG(facts->st_mode)) return path_of(fd, path, room) ? WRITE : NOTHING;
  if (!S_ISSOCK(facts->st_mode)) return NOTHING;
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) == 0) {
    uint32_t port = port_of(&address);
    if (port && port == control->local_port) return REPLY;
  }
  length = sizeof address;
  if (getpeername(fd, (struct sockaddr *)&address, &length) == 0) {
    uint32_t port = port_of(&address);
    if (port && port == control->database_port) return QUERY;
    if (port && port == control->provider_port) return UPSTREAM;
  }
  return NOTHING;
}

static void remember(int fd, const struct stat *facts, const char *path, off_t offset, size_t length) {
  size_t end = strlen(path);
  /* The index of the log is rebuilt after a power cut. */
  if (end > 4 && strcmp(path + end - 4, "-shm") == 0) return;
  struct undo *undo = malloc(sizeof *undo);
  if (!undo) abort();
  size_t old = offset >= facts->st_size ? 0 : (size_t)(facts->st_size - offset);
  if (old > length) old = length;
  *undo = (struct undo){unsynced, facts->st_dev, facts->st_ino, facts->st_size, offset, old, strdup(path), malloc(old + 1)};
  if (!undo->path || !undo->octets) abort();
  if (old > 0) {
    /* A file that was opened for writing only cannot be read by this descriptor. */
    int own = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
    if (own < 0 || syscall(SYS_pread64, own, undo->octets, old, offset) != (ssize_t)old) abort();
    syscall(SYS_close, own);
  }
  unsynced = undo;
}

static void synced(const struct stat *facts) {
  for (struct undo **at = &unsynced; *at;) {
    struct undo *undo = *at;
    if (undo->device == facts->st_dev && undo->inode == facts->st_ino) {
      *at = undo->older;
      free(undo->path);
      free(undo->octets);
      free(undo);
    } else at = &undo->older;
  }
}

static void cut_power(void) {
  for (struct undo *undo = unsynced; undo; undo = undo->older) {
    int fd = syscall(SYS_openat, AT_FDCWD, undo->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) continue;
    struct stat facts;
    if (fstat(fd, &facts) == 0 && facts.st_ino == undo->inode) {
      if (undo->length > 0) syscall(SYS_pwrite64, fd, undo->octets, undo->length, undo->offset);
      if (facts.st_size > undo->size) syscall(SYS_ftruncate, fd, undo->size);
    }
    syscall(SYS_close, fd);
  }
}

static void die(void) {
  control->fired = 1;
  syscall(SYS_kill, getpid(), SIGKILL);
  for (;;) pause();
}

/* Counts a call; whether it is the one. */
static int due(enum point point) {
  uint32_t count = __atomic_add_fetch(&control->counts[point], 1, __ATOMIC_SEQ_CST);
  return control->point == point && control->nth == count;
}

/* How much of a write there is room for; -1: none. */
static ssize_t fitting(off_t size, off_t offset, size_t length) {
  off_t growth = offset + (off_t)length - size;
  if (!control->limited || growth <= 0) return length;
  if (growth <= control->room) {
    control->room -= growth;
    return length;
  }
  ssize_t fits = (ssize_t)length - growth + control->room;
  control->room = 0;
  return fits > 0 ? fits : -1;
}

typedef ssize_t (*call)(int fd, void *what, size_t length);

/* One write of any kind: `whole` does it, `half` does the first half of it. */
static ssize_t written(int fd, void *what, size_t length, off_t offset, call whole, call half) {
  if (!control) return whole(fd, what, length);
  while (dying) pause();
  struct stat facts;
  char path[4096];
  if (fstat(fd, &facts) != 0) return whole(fd, what, length);
  enum point point = kind_of(fd, &facts, path, sizeof path);
  if (point == NOTHING) return whole(fd, what, length);
  pthread_mutex_lock(&lock);
  int now = due(point);
  if (now) {
    dying = 1;
    if (control->moment == BEFORE) die();
  }
  ssize_t fits = length;
  if (point == WRITE) {
    if (offset < 0) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR);
    fits = fitting(facts.st_size, offset, length);
    if (fits >= 0) remember(fd, &facts, path, offset, fits);
  }
  ssize_t done;
  if (fits < 0) {
    errno = ENOSPC;
    done = -1;
  } else if (now && control->moment == TORN) done = half(fd, what, fits / 2);
  else done = fits < (ssize_t)length ? half(fd, what, fits) : whole(fd, what, length);
  if (now) {
    if (control->moment == CUT) cut_power();
    die();
  }
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

struct positioned {
  const void *octets;
  off_t offset;
};

static ssize_t do_pwrite(int fd, void *what, size_t length) {
  struct positioned *at = what;
  return syscall(SYS_pwrite64, fd, at->octets, length, at->offset);
}

ssize_t pwrite64(int fd, const void *octets, size_t length, off64_t offset) {
  struct positioned at = {octets, offset};
  return written(fd, &at, length, offset, do_pwrite, do_pwrite);
}

ssize_t pwrite(int fd, const void *octets, size_t length, off_t offset) { return pwrite64(fd, octets, length, offset); }

static ssize_t do_write(int fd, void *what, size_t length) { return syscall(SYS_write, fd, what, length); }

ssize_t write(int fd, const void *octets, size_t length) {
  return written(fd, (void *)octets, length, -1, do_write, do_write);
}

struct pieces {
  const struct iovec *list;
  int count;
};

static size_t octets_in(const struct iovec *list, size_t count) {
  size_t length = 0;
  for (size_t at = 0; at < count; at++) length += list[at].iov_len;
  return length;
}

/* The first `length` octets of several pieces. */
static ssize_t do_some(int fd, void *what, size_t length) {
  struct pieces *pieces = what;
  ssize_t done = 0;
  for (int at = 0; at < pieces->count && length > 0; at++) {
    size_t some = pieces->list[at].iov_len < length ? pieces->list[at].iov_len : length;
    ssize_t now = syscall(SYS_write, fd, pieces->list[at].iov_base, some);
    if (now < 0) return done > 0 ? done : -1;
    done += now;
    length -= now;
    if ((size_t)now < some) break;
  }
  return done;
}

static ssize_t do_writev(int fd, void *what, size_t length) {
  struct pieces *pieces = what;
  (void)length;
  return syscall(SYS_writev, fd, pieces->list, pieces->count);
}

ssize_t writev(int fd, const struct iovec *list, int count) {
  struct pieces pieces = {list, count};
  return written(fd, &pieces, octets_in(list, count), -1, do_writev, do_some);
}

struct message {
  struct pieces pieces;
  const struct msghdr *header;
  int flags;
};

static ssize_t do_sendmsg(int fd, void *what, size_t length) {
  struct message *message = what;
  (void)length;
  return syscall(SYS_sendmsg, fd, message->header, message->flags);
}

ssize_t sendmsg(int fd, const struct msghdr *header, int flags) {
  struct message message = {{header->msg_iov, header->msg_iovlen}, header, flags};
  return written(fd, &message, octets_in(header->msg_iov, header->msg_iovlen), -1, do_sendmsg, do_some);
}

static int sync_by(long number, int fd) {
  struct stat facts;
  char path[4096];
  if (!control || fstat(fd, &facts) != 0 || kind_of(fd, &facts, path, sizeof path) != WRITE) return syscall(number, fd);
  while (dying) pause();
  pthread_mutex_lock(&lock);
  int now = due(SYNC);
  if (now) {
    dying = 1;
    if (control->moment == BEFORE || control->moment == TORN) die();
  }
  int done = syscall(number, fd);
  if (done == 0) synced(&facts);
  if (now) {
    if (control->moment == CUT) cut_power();
    die();
  }
  int error = errno;
  pthread_mutex_unlock(&lock);
  errno = error;
  return done;
}

int fsync(int fd) { return sync_by(SYS_fsync, fd); }
int fdatasync(int fd) { return sync_by(SYS_fdatasync, fd); }
