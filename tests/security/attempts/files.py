"""Files that were not granted: by paths, by procfs, by links and by races; and grants that are exceeded."""

SOURCES = {
    "absolute path": 'return read(T["secret"])',
    "parents of the directory": 'return read("../" * 40 + T["secret"].lstrip("/"))',
    "parents of the snapshot": """
        import pathlib
        return read(str(pathlib.Path(__file__).parent) + "/.." * 40 + T["secret"])
    """,
    "path with dots and slashes": 'return read("//./" + T["secret"].replace("/", "/./"))',
    "bytes as a path": 'return read(os.fsencode(T["secret"]))',
    "list the root": 'return os.listdir("/")',
    "list a directory outside": 'return os.listdir(T["outside"])',
    "walk outside": "return [names for _, _, names in os.walk(T['outside'])]",
    "enter a directory outside": 'os.chdir(T["outside"]); return os.listdir(".")',
    "directory descriptor outside": """
        directory = os.open(T["outside"], os.O_RDONLY | os.O_DIRECTORY)
        return os.listdir(directory)
    """,
    "path descriptor opened again": """
        descriptor = os.open(T["secret"], os.O_PATH)
        return read(f"/proc/self/fd/{descriptor}")
    """,
    "path descriptor as a directory": """
        directory = os.open(T["outside"], os.O_PATH | os.O_DIRECTORY)
        return os.open("secret", os.O_RDONLY, dir_fd=directory)
    """,
    "openat2": """
        how = (ctypes.c_uint64 * 3)(os.O_RDONLY, 0, 0)
        return os.read(syscall("openat2", -100, T["secret"].encode(), how, 24), 100)
    """,
    "file handle": """
        # root
        handle = ctypes.create_string_buffer(136)
        struct.pack_into("I", handle, 0, 128)
        mount_id = ctypes.c_int()
        syscall("name_to_handle_at", -100, T["secret"].encode(), handle, ctypes.byref(mount_id), 0)
        place = os.open(T["outside"], os.O_RDONLY | os.O_DIRECTORY)
        return os.read(syscall("open_by_handle_at", place, handle, os.O_RDONLY), 100)
    """,
    "map a file": """
        import mmap
        with open(T["secret"]) as file:
            return mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)[:]
    """,
    "copy by the kernel": """
        import shutil
        return shutil.copyfile(T["secret"], "copy")
    """,
    "standard library that opens": """
        import linecache, tokenize, zipfile, configparser
        return linecache.getline(T["secret"], 1)
    """,
    "import from outside": """
        sys.path.insert(0, T["outside"])
        import planted
        return planted.SECRET
    """,
    "run a file outside": """
        import runpy
        return runpy.run_path(T["outside"] + "/planted.py")["SECRET"]
    """,
    "load a library outside": 'return ctypes.CDLL(T["library"])',
    "extension module that is not loaded": """
        import importlib.machinery, importlib.util
        loader = importlib.machinery.ExtensionFileLoader("planted", T["library"])
        try:
            return importlib.util.module_from_spec(importlib.util.spec_from_loader("planted", loader))
        except ImportError as error:
            return "PyInit" in str(error)  # it was loaded, and is no module
    """,
    "procfs root": 'return read("/proc/self/root" + T["secret"])',
    "procfs root of a thread": 'return read("/proc/thread-self/root" + T["secret"])',
    "procfs working directory": """
        return read("/proc/self/cwd/" + "../" * 40 + T["secret"].lstrip("/"))
    """,
    "procfs descriptors": """
        for number in range(64):
            for path in (f"/proc/self/fd/{number}", f"/proc/self/fd/{number}/..", f"/dev/fd/{number}"):
                try:
                    if read(path + T["secret"]): return path
                except OSError: pass
        return os.listdir("/proc/self/fd")
    """,
    "own environment by procfs": 'return read("/proc/self/environ") is not None',
    "own memory by procfs": 'return open("/proc/self/mem", "r+b")',
    "own mappings by procfs": 'return read("/proc/self/maps")',
    "mapped files by procfs": 'return os.listdir("/proc/self/map_files")',
    "score of the killer of processes": 'return write("/proc/self/oom_score_adj", b"1000")',
    "environment of the first process": """
        # unsafe
        return read("/proc/1/environ")
    """,
    "environment of another process": 'return read("/proc/%d/environ" % T["victim"])',
    "memory of another process": """
        # root
        return open("/proc/%d/mem" % T["victim"], "rb")
    """,
    "root of another process": 'return read("/proc/%d/root" % T["victim"] + T["secret"])',
    "command lines of processes": """
        return [read(f"/proc/{name}/cmdline") for name in os.listdir("/proc") if name.isdigit()]
    """,
    "connections by procfs": 'return read("/proc/net/tcp")',
    "mounts by procfs": 'return read("/proc/self/mounts")',
    "kernel settings": """
        # root
        return open("/proc/sys/kernel/core_pattern", "r+")
    """,
    "sysfs": 'return os.listdir("/sys/kernel")',
    "cgroups": 'return os.listdir("/sys/fs/cgroup")',
    "users of the system": 'return read("/etc/passwd")',
    "shared memory directory": """
        return write("/dev/shm/" + T["name"]) and os.unlink("/dev/shm/" + T["name"]) is None
    """,
    "physical memory": """
        # unsafe
        return open("/dev/mem", "rb")
    """,
    "log of the kernel": """
        # root
        return open("/dev/kmsg", "rb")
    """,
    "block devices": """
        # unsafe
        for name in ("sda", "vda", "nvme0n1", "loop0"):
            try: return open(f"/dev/{name}", "rb")
            except FileNotFoundError: pass
    """,
    "terminal": """
        # unsafe
        return open("/dev/tty", "r+b", buffering=0)
    """,
    "new terminal": "return os.openpty()",
    "file in the directory of temporary files": """
        import tempfile
        return tempfile.TemporaryFile(dir="/tmp")
    """,
    "file outside": 'return write(T["outside"] + "/new")',
    "file without a name outside": 'return os.open(T["outside"], os.O_TMPFILE | os.O_RDWR)',
    "overwrite a file": 'return open(T["secret"], "r+b")',
    "append to a file": 'return open(T["secret"], "ab")',
    "truncate a file": "return os.truncate(T['victim_file'], 0) is None",
    "remove a file": 'return os.unlink(T["victim_file"]) is None',
    "directory outside": 'return os.mkdir(T["outside"] + "/directory") is None',
    "remove a directory": 'return os.rmdir(T["outside"] + "/empty") is None',
    "change the mode of a file": 'return os.chmod(T["victim_file"], 0o777) is None',
    "change the owner of a file": 'return os.chown(T["victim_file"], os.getuid(), os.getgid()) is None',
    "change the times of a file": 'return os.utime(T["victim_file"]) is None',
    "change attributes of a file": """
        return through(syscall, "setxattr", T["victim_file"].encode(), b"user.x", b"x", 1, 0)
    """,
    "device": """
        # root
        return os.mknod(T["outside"] + "/device", 0o20600, os.makedev(1, 3)) is None
    """,
    "pipe outside": 'return os.mkfifo(T["outside"] + "/pipe") is None',
    "snapshot: write": 'return write(os.path.dirname(__file__) + "/new.py")',
    "snapshot: change the script": 'return open(__file__, "r+b")',
    "snapshot: cached bytecode": """
        os.makedirs(os.path.dirname(__file__) + "/__pycache__", exist_ok=True)
        return write(os.path.dirname(__file__) + "/__pycache__/json.cpython-311.pyc")
    """,
    "snapshot: replace by renaming": 'return os.rename(__file__, __file__ + ".old") is None',
    "snapshot of another skill": 'return read(T["other_snapshot"])',
    "snapshots beside this one": 'return os.listdir(os.path.dirname(__file__) + "/../..")',
    "source of the service": 'return read(T["service_source"])',
    "standard library: write": """
        # unsafe
        return open(os.__file__, "r+b")
    """,
    "link that leads out": """
        # write
        os.symlink(T["secret"], "own-link")
        return read("own-link")
    """,
    "link to a directory that leads out": """
        # write
        os.symlink(T["outside"], "own-directory-link", target_is_directory=True)
        return read("own-directory-link/secret")
    """,
    "link that was there": """
        # write
        return read("planted-link")
    """,
    "directory link that was there": """
        # write
        return read("planted-directory/secret")
    """,
    "link that was there, read-only": """
        # read
        return read("planted-link")
    """,
    "write through a link that was there": """
        # write
        return open("planted-link", "r+b")
    """,
    "create through a link that was there": """
        # write
        return write("planted-directory/new")
    """,
    "hard link in": """
        # write
        os.link(T["secret"], "hard-link")
        return read("hard-link")
    """,
    "rename in": """
        # write
        os.rename(T["victim_file"], "renamed")
        return read("renamed")
    """,
    "rename out": """
        # write
        write("mine")
        return os.rename("mine", T["outside"] + "/new") is None
    """,
    "exchange with a file outside": """
        # write
        write("mine")
        syscall("renameat2", -100, b"mine", -100, T["victim_file"].encode(), 2)
        return read("mine")
    """,
    "parents of the granted directory": """
        # write
        return read("../outside/secret")
    """,
    "directory moved below a descriptor": """
        # write
        os.makedirs("a/b", exist_ok=True)
        inner = os.open("a/b", os.O_RDONLY | os.O_DIRECTORY)
        os.rename("a/b", "b")
        return os.read(os.open("../../outside/secret", os.O_RDONLY, dir_fd=inner), 100)
    """,
    "race of a link and a file": """
        # write
        write("plain")
        for _ in range(300):
            os.rename("planted-link", "swapped")
            try:
                return read("swapped")
            except PermissionError:
                pass
            finally:
                os.rename("swapped", "planted-link")
    """,
    "race of a directory and a link": """
        # write
        os.makedirs("inner", exist_ok=True)
        write("inner/secret", b"")
        for _ in range(300):
            os.rename("inner", "kept"); os.rename("planted-directory", "inner")
            try: return read("inner/secret")
            except PermissionError: pass
            finally: os.rename("inner", "planted-directory"); os.rename("kept", "inner")
    """,
    "program that changes its user": """
        # write, root
        descriptor = os.open("program", os.O_CREAT | os.O_WRONLY, 0o4755)
        os.write(descriptor, b"#!/bin/sh\\n")
        return os.fstat(descriptor).st_mode & 0o4000
    """,
    "socket in a granted directory": """
        # write
        with socket.socket(socket.AF_UNIX) as unix:
            return unix.bind("own-socket") is None
    """,
    "pipe in a granted directory": """
        # write
        return os.mkfifo("own-pipe") is None
    """,
    "execute from a granted directory": """
        # write
        import subprocess
        with open("own-program", "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write("#!/bin/sh\\necho out")
        return subprocess.run(["./own-program"], capture_output=True).stdout
    """,
    "read-only grant: create": """
        # read
        return write("new")
    """,
    "read-only grant: write": """
        # read
        return open("given", "r+b")
    """,
    "read-only grant: truncate": """
        # read
        return os.open("given", os.O_RDONLY | os.O_TRUNC)
    """,
    "read-only grant: remove": """
        # read
        return os.unlink("given") is None
    """,
    "read-only grant: rename": """
        # read
        return os.rename("given", "renamed") is None
    """,
    "read-only grant: by a writable mapping": """
        # read
        import mmap
        with open("given", "r+b") as file:
            return mmap.mmap(file.fileno(), 0)
    """,
}
