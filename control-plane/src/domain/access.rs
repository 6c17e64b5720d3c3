//! How far somebody's right to act reaches in a team.

use towline_shared::ids::ProjectId;

use super::permission::{Permission, Role};

/// A role in the team, roles on single projects, and what a credential leaves of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The role in the whole team; nothing for whoever is there for single projects.
    team: Option<Role>,
    /// Roles on single projects: each lifts the role in the team, and never lowers it.
    projects: Vec<(ProjectId, Role)>,
    /// The project that the credential is for, if it is for one alone.
    only: Option<ProjectId>,
}

/// The projects that somebody sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of the team.
    Team,
    /// These, of which there may be none.
    Projects(Vec<ProjectId>),
}

impl Access {
    /// By a role in the team, if there is one, and by roles on single projects.
    pub const fn new(team: Option<Role>, projects: Vec<(ProjectId, Role)>) -> Self {
        Self {
            team,
            projects,
            only: None,
        }
    }

    /// What a credential for one project leaves.
    #[must_use]
    pub fn only(mut self, project: Option<ProjectId>) -> Self {
        self.only = project;
        self
    }

    /// The role in what is the whole team's.
    pub const fn in_team(&self) -> Option<Role> {
        match self.only {
            None => self.team,
            Some(_) => None,
        }
    }

    /// The role on a project of the team.
    pub fn on(&self, project: ProjectId) -> Option<Role> {
        if self.only.is_some_and(|only| only != project) {
            return None;
        }
        let own = self.projects.iter().find(|(id, _)| *id == project);
        self.team.max(own.map(|(_, role)| *role))
    }

    /// The highest role, be it in the team or on one project.
    pub fn anywhere(&self) -> Option<Role> {
        let single = self.only.and_then(|project| self.on(project));
        let own = self.on_projects().map(|(_, role)| role).max();
        self.in_team().max(single).max(own)
    }

    /// Whether it depends on the project if something is allowed.
    pub fn depends_on_project(&self, permission: Permission) -> bool {
        match self.in_team() {
            None => true,
            Some(role) => !role.may(permission) && !self.projects.is_empty(),
        }
    }

    /// What is seen.
    pub fn seen(&self) -> Reach {
        if self.in_team().is_some() {
            return Reach::Team;
        }
        let known = self
            .only
            .into_iter()
            .chain(self.projects.iter().map(|(id, _)| *id));
        let mut seen: Vec<_> = known.filter(|id| self.on(*id).is_some()).collect();
        seen.sort_unstable();
        seen.dedup();
        Reach::Projects(seen)
    }

    /// The roles on single projects, where they lift the one in the team.
    pub fn on_projects(&self) -> impl Iterator<Item = (ProjectId, Role)> {
        let of = self.projects.iter().map(|(id, _)| *id);
        of.filter_map(|id| self.on(id).map(|role| (id, role)))
    }

    /// The project that the credential is for.
    pub const fn only_project(&self) -> Option<ProjectId> {
        self.only
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Admin, Developer, Viewer};

    #[test]
    fn a_role_on_a_project_lifts_and_never_lowers() {
        let (shop, blog) = (ProjectId::new(), ProjectId::new());
        let access = Access::new(Some(Viewer), vec![(shop, Developer)]);
        assert_eq!(
            (access.on(shop), access.on(blog)),
            (Some(Developer), Some(Viewer))
        );
        assert_eq!(access.seen(), Reach::Team);
        assert!(access.depends_on_project(Permission::Deploy));
        assert!(!access.depends_on_project(Permission::Look));
        let access = Access::new(Some(Admin), vec![(shop, Viewer)]);
        assert_eq!(access.on(shop), Some(Admin));
        assert!(!access.depends_on_project(Permission::Deploy));
    }

    #[test]
    fn who_has_projects_alone_has_nothing_of_the_team() {
        let (shop, blog) = (ProjectId::new(), ProjectId::new());
        let guest = Access::new(None, vec![(shop, Developer)]);
        assert_eq!(
            (guest.in_team(), guest.on(shop), guest.on(blog)),
            (None, Some(Developer), None)
        );
        assert_eq!(guest.seen(), Reach::Projects(vec![shop]));
        assert_eq!(
            guest.clone().only(Some(blog)).seen(),
            Reach::Projects(vec![])
        );
        assert_eq!(guest.only(Some(shop)).seen(), Reach::Projects(vec![shop]));
    }

    #[test]
    fn a_credential_for_one_project_leaves_that_one() {
        let (shop, blog) = (ProjectId::new(), ProjectId::new());
        let access = Access::new(Some(Admin), Vec::new()).only(Some(shop));
        assert_eq!(
            (access.in_team(), access.on(shop), access.on(blog)),
            (None, Some(Admin), None)
        );
        assert_eq!(access.seen(), Reach::Projects(vec![shop]));
        assert!(access.depends_on_project(Permission::Look));
    }
}
