// What LAMMPS calls when it loads the plugin.
#include "error.h"
#include "lammps.h"
#include "pair_assay.h"

using namespace LAMMPS_NS;

extern "C" {

// A style of a plugin, as LAMMPS declares it in lammpsplugin.h, which it does not install.
struct lammpsplugin_t {
    const char *version, *style, *name, *info, *author;
    union {
        void *(*v1)(void *);
        void *(*v2)(void *, int, char **);
    } creator;
    void *handle;
};

static void *make_pair(void *lmp) { return new PairAssay(static_cast<LAMMPS *>(lmp)); }

__attribute__((visibility("default"))) void lammpsplugin_init(void *lmp, void *handle, void *register_style) {
    auto *lammps = static_cast<LAMMPS *>(lmp);
    if (lammps->num_ver != ASSAY_LAMMPS_VERSION)
        lammps->error->all(FLERR, "this plugin of pair_style assay is for LAMMPS {} and not {}: compile it again",
                           ASSAY_LAMMPS_VERSION, lammps->num_ver);
    lammpsplugin_t plugin{};
    plugin.version = lammps->version;
    plugin.style = "pair";
    plugin.name = "assay";
    plugin.info = "students of Assay: model.assay";
    plugin.author = "the Assay contributors";
    plugin.creator.v1 = &make_pair;
    plugin.handle = handle;
    (*reinterpret_cast<void (*)(lammpsplugin_t *, void *)>(register_style))(&plugin, lmp);
}
}
