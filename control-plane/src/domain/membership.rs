//! The rules of a team's membership.

use super::permission::{Permission, Role};

/// Whom a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// The member's role before.
    pub role: Role,
    /// Whether it is the one who asks.
    pub is: Is,
    /// Whose the team is.
    pub holds: Holds,
}

/// Who a member is to the one who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Is {
    /// The very person.
    Oneself,
    /// Another.
    Another,
}

/// What a member has of the team.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// A place in it.
    Place,
    /// The team: its plan is this person's.
    Team,
}

/// Why a change of a membership is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The role of the one who asks does not allow it.
    Needs(Permission),
    /// The team is this member's.
    HoldsTheTeam,
}

/// Whether `asker` may give the member another role.
pub fn may_change(asker: Role, member: Member, to: Role) -> Result<(), Refusal> {
    let owners = member.role == Role::Owner || to == Role::Owner;
    needs(
        asker,
        if owners {
            Permission::ManageOwners
        } else {
            Permission::ManageMembers
        },
    )?;
    if member.holds == Holds::Team && to != Role::Owner {
        return Err(Refusal::HoldsTheTeam);
    }
    Ok(())
}

/// Whether `asker` may take the member out. Everybody may leave.
pub fn may_remove(asker: Role, member: Member) -> Result<(), Refusal> {
    if member.is == Is::Another {
        needs(
            asker,
            if member.role == Role::Owner {
                Permission::ManageOwners
            } else {
                Permission::ManageMembers
            },
        )?;
    }
    if member.holds == Holds::Team {
        return Err(Refusal::HoldsTheTeam);
    }
    Ok(())
}

/// Whether `asker` may invite somebody to this role.
pub fn may_invite(asker: Role, to: Role) -> Result<(), Refusal> {
    needs(
        asker,
        if to == Role::Owner {
            Permission::ManageOwners
        } else {
            Permission::ManageMembers
        },
    )
}

fn needs(asker: Role, permission: Permission) -> Result<(), Refusal> {
    if asker.may(permission) {
        Ok(())
    } else {
        Err(Refusal::Needs(permission))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Permission::{ManageMembers, ManageOwners};
    use Role::{Admin, Developer, Owner, Viewer};

    const fn other(role: Role) -> Member {
        Member {
            role,
            is: Is::Another,
            holds: Holds::Place,
        }
    }

    #[test]
    fn admins_change_all_but_owners() {
        assert_eq!(may_change(Admin, other(Viewer), Developer), Ok(()));
        assert_eq!(may_change(Admin, other(Developer), Admin), Ok(()));
        for (member, to) in [(Owner, Admin), (Viewer, Owner)] {
            assert_eq!(
                may_change(Admin, other(member), to),
                Err(Refusal::Needs(ManageOwners))
            );
            assert_eq!(may_change(Owner, other(member), to), Ok(()));
        }
        for asker in [Developer, Viewer] {
            assert_eq!(
                may_change(asker, other(Viewer), Developer),
                Err(Refusal::Needs(ManageMembers))
            );
            assert_eq!(
                may_invite(asker, Viewer),
                Err(Refusal::Needs(ManageMembers))
            );
        }
        assert_eq!(may_invite(Admin, Admin), Ok(()));
        assert_eq!(may_invite(Admin, Owner), Err(Refusal::Needs(ManageOwners)));
    }

    #[test]
    fn all_may_leave_but_who_has_the_team() {
        for role in Role::ALL {
            let oneself = Member {
                is: Is::Oneself,
                ..other(role)
            };
            assert_eq!(may_remove(role, oneself), Ok(()));
        }
        let holder = Member {
            role: Owner,
            is: Is::Oneself,
            holds: Holds::Team,
        };
        assert_eq!(may_remove(Owner, holder), Err(Refusal::HoldsTheTeam));
        assert_eq!(may_change(Owner, holder, Admin), Err(Refusal::HoldsTheTeam));
        assert_eq!(may_change(Owner, holder, Owner), Ok(()));
        assert_eq!(may_remove(Admin, other(Viewer)), Ok(()));
        assert_eq!(
            may_remove(Admin, other(Owner)),
            Err(Refusal::Needs(ManageOwners))
        );
        assert_eq!(
            may_remove(Developer, other(Viewer)),
            Err(Refusal::Needs(ManageMembers))
        );
    }
}
